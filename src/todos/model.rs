//! A todo and its parts. Every value of these types is valid.

use std::fmt;
use std::str::FromStr;

use crate::error::StoreError;
use crate::random;
use crate::timestamp::Timestamp;

/// The longest title, in characters.
pub const TITLE_CHARACTERS_MAX: usize = 200;
/// The longest description, in characters.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 10_000;

/// The id of a todo: a UUID of version 7. The first half grows with time, so new rows are next to each other in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TodoId(u128);

impl TodoId {
    /// Smaller than every other id.
    pub const NIL: Self = Self(0);

    /// Makes a new id with this time and 74 random bits.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn generate(now: Timestamp) -> Result<Self, StoreError> {
        let random = random::bytes::<10>()?
            .iter()
            .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        // A UUID cannot hold a time before 1970. With such a clock, ids have no order.
        let milliseconds = u128::try_from(now.micros() / 1000).unwrap_or(0) & ((1 << 48) - 1);
        let upper = random >> 62 & 0xfff;
        let lower = random & ((1 << 62) - 1);
        Ok(Self(
            milliseconds << 80 | 7 << 76 | upper << 64 | 2 << 62 | lower,
        ))
    }

    /// The id for a hash: a UUID of version 8, which differs from every generated id.
    pub(super) const fn from_hash(bits: u128) -> Self {
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

/// The error of a text that is not the id of a todo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of a todo")]
pub struct TodoIdError;

impl FromStr for TodoId {
    type Err = TodoIdError;

    /// Parses the text that `Display` writes, in upper or lower case.
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

/// The progress of a todo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Not started.
    #[default]
    Pending,
    /// Started and not completed.
    InProgress,
    /// Completed.
    Completed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Pending, Self::InProgress, Self::Completed];

    /// The name in the API and in the databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in progress",
            Self::Completed => "completed",
        }
    }
}

/// The error of a text that is not a status.
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

/// The error of a text that is not a title or a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A title with only white space.
    #[error("is empty; send 1 to {TITLE_CHARACTERS_MAX} characters")]
    Empty,
    /// Too many characters.
    #[error("has {characters} characters; at most {characters_max} are accepted")]
    TooLong {
        /// The number of characters.
        characters: usize,
        /// The limit.
        characters_max: usize,
    },
    /// A control character that is not accepted.
    #[error("has the control character U+{0:04X}, which is not accepted here")]
    Control(u32),
}

fn check(
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

/// The title of a todo: one line of 1 to 200 characters after trimming, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Title(String);

impl Title {
    /// A title from a text.
    ///
    /// # Errors
    /// [`TextError`] names what is wrong.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        check(text, TITLE_CHARACTERS_MAX, |_| false)?;
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

/// The description of a todo: at most 10,000 characters, kept unchanged. Tabs and line breaks are the only control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    /// A description from a text.
    ///
    /// # Errors
    /// [`TextError`] names what is wrong.
    pub fn new(text: &str) -> Result<Self, TextError> {
        check(text, DESCRIPTION_CHARACTERS_MAX, |c| {
            matches!(c, '\t' | '\n' | '\r')
        })?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The form of a text for searches: in lower case, by the rules of Unicode.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// A todo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Todo {
    /// The id.
    pub id: TodoId,
    /// The title.
    pub title: Title,
    /// The description.
    pub description: Description,
    /// The deadline, if there is one.
    pub deadline: Option<Timestamp>,
    /// The status.
    pub status: Status,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change. Two versions of a todo never have the same time, so the time also identifies the version.
    pub updated_at: Timestamp,
}

impl Todo {
    /// The position in the list.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            deadline: self.deadline,
            created_at: self.created_at,
            title: self.title.as_str().to_owned(),
            id: self.id,
        }
    }
}

/// A change of a todo. Fields with `None` stay unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The new title.
    pub title: Option<Title>,
    /// The new description.
    pub description: Option<Description>,
    /// The new deadline; `Some(None)` removes the deadline.
    pub deadline: Option<Option<Timestamp>>,
    /// The new status.
    pub status: Option<Status>,
}

/// The versions of a todo that a change applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Every version.
    Any,
    /// Only these versions, each named by its [`Todo::updated_at`].
    Versions(Vec<Timestamp>),
}

/// The filter of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only todos with this status.
    pub status: Option<Status>,
    /// Only todos with a deadline at this time or later.
    pub deadline_from: Option<Timestamp>,
    /// Only todos with a deadline before this time.
    pub deadline_to: Option<Timestamp>,
    /// Only todos with this text in the title or the description. Has to be [`folded`].
    pub text: Option<String>,
}

/// A position in the list of todos. The order is by deadline (todos without a deadline last), then by creation, title (as bytes of
/// UTF-8) and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The deadline.
    pub deadline: Option<Timestamp>,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The title.
    pub title: String,
    /// The id.
    pub id: TodoId,
}

/// A page of a list, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TodoPage {
    /// The todos.
    pub items: Vec<Todo>,
    /// Whether there is another page.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_a_uuid_that_grows_with_time() {
        let at = |text: &str| TodoId::generate(text.parse().unwrap()).unwrap();
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
        // A clock before 1970 still makes ids.
        at("1900-01-01T00:00");
    }

    #[test]
    fn titles_and_descriptions_have_limits() {
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
    fn a_status_parses_from_its_name() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<Status>(), Err(StatusError));
    }
}
