//! Finds settings of Redis with which the word can be lost.

use super::errors::REPLICA;

/// The consequences of the settings of Redis for the word. Unknown settings cause neither a refusal nor a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diagnostics {
    /// Why Redis accepts no word; `None` when Redis does.
    pub(super) refusal: Option<&'static str>,
    /// Warnings for the operator. Each warning is a sentence.
    pub(super) warnings: Vec<String>,
}

impl Diagnostics {
    /// Evaluates the answer to `INFO`, and the setting `save`.
    pub(super) fn from_info(info: Option<&str>, save: Option<&str>) -> Self {
        let mut diagnostics = Self::default();
        let Some(info) = info else { return diagnostics };
        let value = |name: &str| {
            let mut fields = info.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(field, _)| *field == name);
            found.map(|(_, value)| value.trim())
        };
        let mut warn = |warning: String| diagnostics.warnings.push(warning);
        match (value("role"), value("slave_read_only")) {
            (Some("slave"), Some("1")) => diagnostics.refusal = Some(REPLICA),
            (Some("slave"), Some("0")) => warn(
                "the URL leads to a replica of Redis that accepts changes: the changes are lost as soon as the replica follows its \
                 primary again; name the primary in --greeting"
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
                "Redis drops any key, the word included, when its memory is full (maxmemory-policy {policy}): set maxmemory-policy \
                 to noeviction or to one of the volatile- policies"
            ));
        }
        if value("aof_enabled") == Some("0") && save == Some("") {
            warn(
                "Redis keeps nothing on its disk, so the word is lost when Redis restarts: set appendonly yes, and appendfsync \
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
        diagnostics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:1048576\r\n\
        maxmemory_policy:volatile-lru\r\n# Persistence\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\n\
        aof_last_write_status:ok\r\n# Replication\r\nrole:master\r\n";

    #[test]
    fn good_and_unknown_settings_cause_no_warning() {
        for (info, save) in [
            (Some(HEALTHY), Some("")),
            (Some(HEALTHY), None),
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
            assert_eq!(
                Diagnostics::from_info(info, save),
                Diagnostics::default(),
                "{info:?}"
            );
        }
    }

    #[test]
    fn each_setting_that_may_lose_the_word_has_a_warning_with_advice() {
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
            let info = HEALTHY.replace(from, to);
            assert_ne!(info, HEALTHY);
            let diagnostics = Diagnostics::from_info(Some(&info), Some(save));
            let [warning] = &diagnostics.warnings[..] else {
                panic!("{diagnostics:?}");
            };
            assert!(warning.contains(words), "{warning}");
            assert_eq!(diagnostics.refusal, None);
        }
        let info = HEALTHY.replace("role:master", "role:slave\r\nslave_read_only:1");
        let diagnostics = Diagnostics::from_info(Some(&info), None);
        assert_eq!(diagnostics.refusal, Some(REPLICA));
    }
}
