//! The word of an older greeting page: the string under the key `hello`, read and never written to.

use redis::Cmd;

use super::RedisGreeting;
use crate::error::{StoreError, StoreErrorKind};

/// The key of the older page.
pub const KEY: &str = "hello";

impl RedisGreeting {
    /// The bytes of the older page's word; `None` when the key is not there.
    ///
    /// # Errors
    /// When Redis refuses or cannot be reached; when the key is no string.
    pub async fn older_word(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let kind: String = self.ask(redis::cmd("TYPE").arg(KEY)).await?;
        match kind.as_str() {
            "none" => Ok(None),
            "string" => self.ask(redis::cmd("GET").arg(KEY)).await,
            other => Err(StoreError::new(
                StoreErrorKind::Damaged,
                format!(
                    "the key {KEY} in Redis holds a {other}, and the older page's word is a string: is it another database?"
                ),
            )),
        }
    }

    /// Whether there is a word of this program.
    ///
    /// # Errors
    /// When Redis refuses or cannot be reached.
    pub async fn has_word(&self) -> Result<bool, StoreError> {
        let word: Option<Vec<u8>> = self
            .ask(redis::cmd("HGET").arg(&*self.key).arg("word"))
            .await?;
        Ok(word.is_some())
    }

    async fn ask<T: redis::FromRedisValue + Send + 'static>(
        &self,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let (link, command) = (std::sync::Arc::clone(&self.link), command.clone());
        self.run(async move { link.ask(&command).await }).await
    }
}
