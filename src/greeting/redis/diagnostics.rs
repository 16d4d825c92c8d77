//! How a Redis is set up, as far as it says so, and what that means for the word.

use super::errors::REPLICA;

/// What was found. Nothing is said of what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Why it takes no words, if that is so.
    pub(super) refusal: Option<&'static str>,
    /// What an operator should know, a sentence each.
    pub(super) warnings: Vec<String>,
}

impl Findings {
    /// From what `INFO` answers, and the setting `save`.
    pub(super) fn of(info: Option<&str>, save: Option<&str>) -> Self {
        let mut findings = Self::default();
        let Some(info) = info else { return findings };
        let value = |name: &str| {
            let mut fields = info.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(field, _)| *field == name);
            found.map(|(_, value)| value.trim())
        };
        let mut warn = |warning: String| findings.warnings.push(warning);
        match (value("role"), value("slave_read_only")) {
            (Some("slave"), Some("1")) => findings.refusal = Some(REPLICA),
            (Some("slave"), Some("0")) => warn(
                "this address leads to a replica of Redis that takes changes: they are lost as soon as it follows its primary \
                 again; name the primary in --greeting"
                    .to_owned(),
            ),
            _ => {}
        }
        let has_limit = value("maxmemory").is_some_and(|bytes| bytes != "0");
        if let Some(policy) = value("maxmemory_policy")
            && policy.starts_with("allkeys-")
            && has_limit
        {
            warn(format!(
                "Redis drops any key, the word too, when its memory is full (maxmemory-policy {policy}): set maxmemory-policy \
                 to noeviction or to one of the volatile- policies"
            ));
        }
        if value("aof_enabled") == Some("0") && save == Some("") {
            warn(
                "Redis keeps nothing on its disk, so the word is lost when it restarts: set appendonly yes, and appendfsync \
                 always if no word may be lost"
                    .to_owned(),
            );
        }
        for (name, what) in [
            ("rdb_last_bgsave_status", "its last snapshot"),
            ("aof_last_write_status", "its append-only file"),
        ] {
            if value(name).is_some_and(|status| status != "ok") {
                warn(format!(
                    "Redis could not write {what} to its disk ({name}): look at its log, and make room"
                ));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:1048576\r\n\
        maxmemory_policy:volatile-lru\r\n# Persistence\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\n\
        aof_last_write_status:ok\r\n# Replication\r\nrole:master\r\n";

    #[test]
    fn nothing_is_said_of_what_is_well_or_not_known() {
        for (info, save) in [
            (Some(WELL), Some("")),
            (Some(WELL), None),
            (None, Some("")),
            (Some(""), None),
            (Some("aof_enabled:0\r\n"), None),
            (Some("aof_enabled:0\r\n"), Some("3600 1")),
            (
                Some("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"),
                None,
            ),
            (Some("maxmemory_policy:allkeys-lru\r\n"), None),
            (Some("role:slave\r\n"), None),
        ] {
            assert_eq!(Findings::of(info, save), Findings::default(), "{info:?}");
        }
    }

    #[test]
    fn what_may_lose_the_word_is_a_sentence_that_says_what_to_do() {
        for (from, to, save, words) in [
            (
                "policy:volatile-lru",
                "policy:allkeys-random",
                "1 1",
                "noeviction",
            ),
            ("aof_enabled:1", "aof_enabled:0", "", "appendonly yes"),
            ("bgsave_status:ok", "bgsave_status:err", "1 1", "snapshot"),
            ("write_status:ok", "write_status:err", "1 1", "append-only"),
            (
                "role:master",
                "role:slave\r\nslave_read_only:0",
                "1 1",
                "primary",
            ),
        ] {
            let info = WELL.replace(from, to);
            assert_ne!(info, WELL);
            let findings = Findings::of(Some(&info), Some(save));
            let [warning] = &findings.warnings[..] else {
                panic!("{findings:?}");
            };
            assert!(warning.contains(words), "{warning}");
            assert_eq!(findings.refusal, None);
        }
        let info = WELL.replace("role:master", "role:slave\r\nslave_read_only:1");
        let findings = Findings::of(Some(&info), None);
        assert_eq!(findings.refusal, Some(REPLICA));
    }
}
