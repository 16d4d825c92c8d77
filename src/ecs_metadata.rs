//! The task and the availability zone of this server on Amazon ECS.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tracing::{info, warn};
use url::Url;

use crate::http::json::write_string;

/// The time limit for the answer of the metadata service.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The longest accepted answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The task and the zone of this server. Empty outside ECS, and until the metadata service has answered.
#[derive(Clone, Debug, Default)]
pub struct Instance(Arc<OnceLock<TaskMetadata>>);

#[derive(Debug)]
struct TaskMetadata {
    task: Option<String>,
    zone: Option<String>,
}

/// The fields of the answer that this program uses.
#[derive(Deserialize)]
struct Task {
    #[serde(rename = "TaskARN")]
    arn: Option<String>,
    #[serde(rename = "AvailabilityZone")]
    zone: Option<String>,
}

impl Instance {
    /// Asks the metadata service of ECS once, in the background. The server starts without waiting for the answer.
    pub fn ask_ecs(&self, metadata: Url) {
        let metadata_cell = Arc::clone(&self.0);
        tokio::spawn(async move {
            match read(metadata).await {
                Ok(task) => {
                    let metadata = metadata_cell.get_or_init(|| task.into());
                    info!(task = metadata.task, zone = metadata.zone, "running on ECS");
                }
                Err(error) => warn!("cannot tell which ECS task this is: {error:#}"),
            }
        });
    }

    /// Appends `,"instance":{"task":…,"zone":…}`, or nothing.
    pub(crate) fn write_member(&self, out: &mut Vec<u8>) {
        let Some(metadata) = self.0.get() else {
            return;
        };
        let members = [("task", &metadata.task), ("zone", &metadata.zone)];
        let members = members
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        for (at, (name, value)) in members.enumerate() {
            out.extend_from_slice(if at == 0 { b",\"instance\":{" } else { b"," });
            write_string(out, name);
            out.push(b':');
            write_string(out, value);
        }
        if metadata.task.is_some() || metadata.zone.is_some() {
            out.push(b'}');
        }
    }
}

impl From<Task> for TaskMetadata {
    /// Takes the last part of the ARN, which people use as the name of a task.
    fn from(task: Task) -> Self {
        let known = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            task: known(task.arn).map(|arn| arn.rsplit('/').next().unwrap_or_default().to_owned()),
            zone: known(task.zone),
        }
    }
}

async fn read(mut metadata: Url) -> anyhow::Result<Task> {
    metadata
        .path_segments_mut()
        .map_err(|()| anyhow::anyhow!("the URL of the metadata service has no path"))?
        .pop_if_empty()
        .push("task");
    // The service is on this machine, so the client needs neither a proxy nor certificates.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(ANSWER_TIME_MAX)
        .build()?;
    let mut response = client.get(metadata).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        anyhow::ensure!(
            body.len() + piece.len() <= ANSWER_BYTES_MAX,
            "the answer is too long"
        );
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).context("the answer is not the expected JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let instance = Instance::default();
        let task: Task = serde_json::from_str(text).unwrap();
        instance.0.set(task.into()).unwrap();
        let mut out = Vec::new();
        instance.write_member(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_known_members_are_written() {
        let arn = "arn:aws:ecs:eu-central-1:1:task/fieldstation/0a1b";
        assert_eq!(
            shown(&format!(
                r#"{{"TaskARN":"{arn}","AvailabilityZone":"eu-central-1a","Cluster":"fieldstation"}}"#
            )),
            r#","instance":{"task":"0a1b","zone":"eu-central-1a"}"#
        );
        assert_eq!(
            shown(r#"{"AvailabilityZone":"b\""}"#),
            r#","instance":{"zone":"b\""}"#
        );
        assert_eq!(shown(r#"{"TaskARN":"","AvailabilityZone":null}"#), "");
        let mut out = Vec::new();
        Instance::default().write_member(&mut out);
        assert!(out.is_empty());
    }
}
