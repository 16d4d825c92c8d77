//! The word of the greeting.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The word greeted on the front page: 1 to 200 characters, without control characters, and not only white space. The default is `World`.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(Arc<str>);

impl Word {
    /// The longest word, in characters (Unicode scalar values).
    pub const CHARACTERS_MAX: usize = 200;

    /// The word as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Word {
    fn default() -> Self {
        Self("World".into())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Word {
    type Err = WordError;

    /// Keeps the text unchanged, white space at both ends included.
    fn from_str(text: &str) -> Result<Self, WordError> {
        if text.chars().all(char::is_whitespace) && !text.contains(char::is_control) {
            return Err(WordError::Empty);
        }
        for (index, character) in text.chars().enumerate() {
            if index == Self::CHARACTERS_MAX {
                return Err(WordError::TooLong);
            }
            if character.is_control() {
                return Err(WordError::Control {
                    character,
                    position: index + 1,
                });
            }
        }
        Ok(Self(text.into()))
    }
}

/// The error of a text refused as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// The text is empty, or only white space.
    #[error("data must contain a string")]
    Empty,
    /// The text has more than [`Word::CHARACTERS_MAX`] characters.
    #[error(
        "the word has more than the {} characters that it may have",
        Word::CHARACTERS_MAX
    )]
    TooLong,
    /// The text has a control character.
    #[error(
        "character {position} of the word is the control character U+{:04X}; send text without any", u32::from(*.character)
    )]
    Control {
        /// The first control character.
        character: char,
        /// The position of the character, counted from 1.
        position: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_unchanged() {
        let longest = "🌍".repeat(Word::CHARACTERS_MAX);
        for text in ["World", " a ", "<script>", "Grüße, 世界", "0", &longest] {
            assert_eq!(text.parse::<Word>().unwrap().as_str(), text);
        }
        assert_eq!(Word::default().as_str(), "World");
    }

    #[test]
    fn an_error_names_the_rule_that_a_text_breaks() {
        let too_long = "a".repeat(Word::CHARACTERS_MAX + 1);
        let control = |character, position| WordError::Control {
            character,
            position,
        };
        for (text, error) in [
            ("", WordError::Empty),
            (" \u{a0}\u{3000}", WordError::Empty),
            (&too_long, WordError::TooLong),
            ("a\nb", control('\n', 2)),
            ("\n", control('\n', 1)),
            ("tab\t", control('\t', 4)),
            ("\u{0}", control('\u{0}', 1)),
            ("é\u{7f}", control('\u{7f}', 2)),
            ("\u{85}", control('\u{85}', 1)),
        ] {
            assert_eq!(text.parse::<Word>(), Err(error), "{text:?}");
        }
        assert_eq!(
            control('\n', 2).to_string(),
            "character 2 of the word is the control character U+000A; send text without any"
        );
    }
}
