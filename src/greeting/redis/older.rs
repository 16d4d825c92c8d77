//! Reads the word of an older greeting page: the string with the key `hello`. Never writes the key.

use redis::Cmd;

use super::RedisGreeting;
use crate::error::{StoreError, StoreErrorKind};

/// The key of the older page.
pub const KEY: &str = "hello";

impl RedisGreeting {
    /// The word of the older page as bytes; `None` when the key does not exist.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] when the key is not a string; the usual errors when Redis refuses or cannot be reached.
    pub async fn older_word(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let kind: String = self.send(redis::cmd("TYPE").arg(KEY)).await?;
        match kind.as_str() {
            "none" => Ok(None),
            "string" => self.send(redis::cmd("GET").arg(KEY)).await,
            other => Err(StoreError::new(
                StoreErrorKind::Damaged,
                format!(
                    "the key {KEY} in Redis holds a {other}, and the word of the older page is a string: is this another database?"
                ),
            )),
        }
    }

    /// Whether this program has stored a word.
    ///
    /// # Errors
    /// The usual errors when Redis refuses or cannot be reached.
    pub async fn has_word(&self) -> Result<bool, StoreError> {
        let word: Option<Vec<u8>> = self
            .send(redis::cmd("HGET").arg(&*self.key).arg("word"))
            .await?;
        Ok(word.is_some())
    }

    async fn send<T: redis::FromRedisValue + Send + 'static>(
        &self,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let (connection, command) = (std::sync::Arc::clone(&self.connection), command.clone());
        self.run(async move { connection.send(&command).await })
            .await
    }
}
