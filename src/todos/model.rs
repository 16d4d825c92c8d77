//! A todo and its parts. None can be built invalid.

use std::fmt;
use std::str::FromStr;

use crate::error::StoreError;
use crate::random;
use crate::timestamp::Timestamp;

/// The most characters of a title.
pub const TITLE_CHARACTERS_MAX: usize = 200;
/// The most characters of a description.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 10_000;

/// Identifies a todo: a UUID of version 7, whose first half grows with time, so that new rows lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TodoId(u128);

impl TodoId {
    /// Smaller than every id that is ever made.
    pub const NIL: Self = Self(0);

    /// A new id for something made at a moment, with 74 random bits.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn make(now: Timestamp) -> Result<Self, StoreError> {
        let random = random::bytes::<10>()?
            .iter()
            .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        // Moments before 1970 have no place in a UUID: a clock that far off gets random ids without an order.
        let milliseconds = u128::try_from(now.micros() / 1000).unwrap_or(0) & ((1 << 48) - 1);
        let upper = random >> 62 & 0xfff;
        let lower = random & ((1 << 62) - 1);
        Ok(Self(
            milliseconds << 80 | 7 << 76 | upper << 64 | 2 << 62 | lower,
        ))
    }

    /// The id that a hash makes: a UUID of version 8, so that none that is made anew is the same.
    pub(super) const fn of_hash(bits: u128) -> Self {
        let fixed = 0xf << 76 | 3 << 62;
        Self(bits & !fixed | 8 << 76 | 2 << 62)
    }
}

impl fmt::Display for TodoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff,
        )
    }
}

/// Why a text is not the id of a todo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of a todo")]
pub struct TodoIdError;

impl FromStr for TodoId {
    type Err = TodoIdError;

    /// Reads what `Display` writes, in either case.
    fn from_str(text: &str) -> Result<Self, TodoIdError> {
        let mut bits = 0;
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(TodoIdError);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            match (at, char::from(byte).to_digit(16)) {
                (8 | 13 | 18 | 23, None) if byte == b'-' => {}
                (8 | 13 | 18 | 23, _) | (_, None) => return Err(TodoIdError),
                (_, Some(digit)) => bits = bits << 4 | u128::from(digit),
            }
        }
        Ok(Self(bits))
    }
}

/// How far a todo is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody has begun.
    #[default]
    Pending,
    /// Somebody is at it.
    InProgress,
    /// It is done.
    Completed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::InProgress, Self::Completed];

    /// What it is called, in the API and in the databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in progress",
            Self::Completed => "completed",
        }
    }
}

/// Why a text is not a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a status; there are pending, in progress and completed")]
pub struct StatusError;

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let mut all = Self::ALL.into_iter();
        all.find(|status| status.as_str() == text)
            .ok_or(StatusError)
    }
}

/// Why a text is not a title or a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A title of nothing but white space.
    #[error("is empty; send 1 to {TITLE_CHARACTERS_MAX} characters")]
    Empty,
    /// More characters than there may be.
    #[error("has {characters} characters; at most {characters_max} are accepted")]
    TooLong {
        /// How many there are.
        characters: usize,
        /// How many there may be.
        characters_max: usize,
    },
    /// A character that no text is made of.
    #[error("has the control character U+{0:04X}, which is not accepted here")]
    Control(u32),
}

fn checked(
    text: &str,
    characters_max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), TextError> {
    let characters = text.chars().count();
    if characters > characters_max {
        return Err(TextError::TooLong {
            characters,
            characters_max,
        });
    }
    match text.chars().find(|c| c.is_control() && !allowed(*c)) {
        Some(control) => Err(TextError::Control(control.into())),
        None => Ok(()),
    }
}

/// What is to be done, in a line: 1 to 200 characters after trimming, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Title(String);

impl Title {
    /// A title from a text.
    ///
    /// # Errors
    /// [`TextError`] names what is wrong.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        checked(text, TITLE_CHARACTERS_MAX, |_| false)?;
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// More about it: at most 10,000 characters, kept as they are; of control characters only tabs and line breaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    /// A description from a text.
    ///
    /// # Errors
    /// [`TextError`] names what is wrong.
    pub fn new(text: &str) -> Result<Self, TextError> {
        checked(text, DESCRIPTION_CHARACTERS_MAX, |c| {
            matches!(c, '\t' | '\n' | '\r')
        })?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text as it is compared when somebody looks for words: in lower case, by the rules of Unicode.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Todo {
    /// Which one.
    pub id: TodoId,
    /// What is to be done.
    pub title: Title,
    /// More about it.
    pub description: Description,
    /// Until when, if that matters.
    pub deadline: Option<Timestamp>,
    /// How far it is.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last. No two versions of a todo share this moment, so it is also the version's name.
    pub updated_at: Timestamp,
}

impl Todo {
    /// Where it stands in the list.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            deadline: self.deadline,
            created_at: self.created_at,
            title: self.title.as_str().to_owned(),
            id: self.id,
        }
    }
}

/// What is to become of a todo: fields that are `None` stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Another title.
    pub title: Option<Title>,
    /// Another description.
    pub description: Option<Description>,
    /// Another deadline, or none any more.
    pub deadline: Option<Option<Timestamp>>,
    /// Another status.
    pub status: Option<Status>,
}

/// Which versions of a todo a change is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever it is now.
    Any,
    /// Only these versions, each named by its [`Todo::updated_at`].
    Versions(Vec<Timestamp>),
}

/// Which todos a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of a status.
    pub status: Option<Status>,
    /// Only those with a deadline at this moment or later.
    pub deadline_from: Option<Timestamp>,
    /// Only those with a deadline before this moment.
    pub deadline_to: Option<Timestamp>,
    /// Only those with this in the title or in the description, in whatever case. [`folded`] already.
    pub text: Option<String>,
}

/// A place in the list of todos: by deadline (those without one last), then by creation, title (as bytes of UTF-8), id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The deadline.
    pub deadline: Option<Timestamp>,
    /// The moment of creation.
    pub created_at: Timestamp,
    /// The title.
    pub title: String,
    /// The id.
    pub id: TodoId,
}

/// Some todos of a list, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TodoPage {
    /// The todos.
    pub items: Vec<Todo>,
    /// Whether there are more after the last.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_that_grows_with_time() {
        let at = |text: &str| TodoId::make(text.parse().unwrap()).unwrap();
        let (old, new) = (at("2026-11-20T13:00"), at("2026-11-20T13:01"));
        assert!(TodoId::NIL < old && old < new);
        assert_ne!(old, at("2026-11-20T13:00"));
        let text = new.to_string();
        assert_eq!(text.as_bytes()[14], b'7');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
        assert_eq!(text.parse(), Ok(new));
        assert_eq!(text.to_uppercase().parse(), Ok(new));
        for bad in ["", "7", &text[1..], &text.replace('-', "0"), "é"] {
            assert_eq!(bad.parse::<TodoId>(), Err(TodoIdError), "{bad}");
        }
        // A clock before 1970 makes ids all the same.
        at("1900-01-01T00:00");
    }

    #[test]
    fn titles_and_descriptions_have_bounds() {
        assert_eq!(Title::new(" water\u{a0}").unwrap().as_str(), "water");
        assert_eq!(Title::new(" \t "), Err(TextError::Empty));
        assert!(Title::new(&"é".repeat(200)).is_ok());
        assert_eq!(
            Title::new(&"é".repeat(201)),
            Err(TextError::TooLong {
                characters: 201,
                characters_max: 200
            })
        );
        assert_eq!(Title::new("a\nb"), Err(TextError::Control(10)));
        assert!(Description::new(" a\r\n\tb ").is_ok());
        assert_eq!(Description::new("a\0"), Err(TextError::Control(0)));
        assert!(Description::new(&"é".repeat(10_000)).is_ok());
        assert!(Description::new(&"é".repeat(10_001)).is_err());
    }

    #[test]
    fn a_status_is_read_back() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<Status>(), Err(StatusError));
    }
}
