//! Conditions on a device's file, from `If-Match` and `If-None-Match`.

/// A condition on the present file of a device. The default condition always holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The file must have one of these tags.
    pub if_match: Option<TagList>,
    /// The file must have none of these tags.
    pub if_none_match: Option<TagList>,
}

/// Entity tags, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagList {
    /// Any file.
    Any,
    /// A file with one of these tags.
    These(Vec<String>),
}

impl Condition {
    /// Whether the condition always holds.
    pub const fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Whether the condition holds for the file with this tag, or for a device without a file.
    pub fn holds(&self, current: Option<&str>) -> bool {
        self.if_match
            .as_ref()
            .is_none_or(|tags| tags.contains(current))
            && !self
                .if_none_match
                .as_ref()
                .is_some_and(|tags| tags.contains(current))
    }
}

impl TagList {
    /// Whether the list contains this tag. No list contains a missing file.
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
    fn a_condition_compares_the_tag_of_the_present_file() {
        let these = |tag: &str| Some(TagList::These(vec![tag.to_owned()]));
        let condition = |if_match, if_none_match| Condition {
            if_match,
            if_none_match,
        };
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
