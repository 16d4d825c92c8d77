//! Conditions on a device's file, as `If-Match` and `If-None-Match` state them.

/// What must be true of the file that is there for a change to be made. The default is always true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// One of these must be there.
    pub is: Option<TagList>,
    /// None of these may be there.
    pub is_not: Option<TagList>,
}

/// Entity tags, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagList {
    /// Whatever is there.
    Any,
    /// One of these.
    These(Vec<String>),
}

impl Condition {
    /// Whether nothing is asked for.
    pub const fn is_empty(&self) -> bool {
        self.is.is_none() && self.is_not.is_none()
    }

    /// Whether it holds of the file with this tag, or of no file.
    pub fn holds(&self, current: Option<&str>) -> bool {
        self.is.as_ref().is_none_or(|tags| tags.contains(current))
            && !self
                .is_not
                .as_ref()
                .is_some_and(|tags| tags.contains(current))
    }
}

impl TagList {
    /// Whether the file with this tag is among them; no file never is.
    pub fn contains(&self, current: Option<&str>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(tags), Some(current)) => tags.iter().any(|tag| tag == current),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_about_the_file_that_is_there() {
        let these = |tag: &str| Some(TagList::These(vec![tag.to_owned()]));
        let condition = |is, is_not| Condition { is, is_not };
        for (condition, none, a, b) in [
            (condition(None, None), true, true, true),
            (condition(Some(TagList::Any), None), false, true, true),
            (condition(these("a"), None), false, true, false),
            (condition(None, Some(TagList::Any)), true, false, false),
            (condition(None, these("a")), true, false, true),
            (condition(these("a"), these("a")), false, false, false),
        ] {
            assert_eq!(condition.holds(None), none, "{condition:?}");
            assert_eq!(condition.holds(Some("a")), a, "{condition:?}");
            assert_eq!(condition.holds(Some("b")), b, "{condition:?}");
        }
    }
}
