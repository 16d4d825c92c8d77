//! Where todos come from: read in the order of their numbers, as of one moment, and never written to.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Numbered, NumberedPage, OlderRow};
use crate::error::StoreError;
use crate::todos::TodoStore;

/// Something that todos are read from.
#[async_trait]
pub trait TodoSource: Send {
    /// What it is, in words.
    fn name(&self) -> &str;

    /// A name that stays the same, for the store that remembers where its todos came from.
    fn origin(&self) -> &str;

    /// How many rows there are.
    async fn count(&mut self) -> Result<u64, StoreError>;

    /// Rows in the order of their numbers, beginning with the first that is `from` or more.
    async fn page(&mut self, from: i64) -> Result<SourcePage, StoreError>;
}

/// Some rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePage {
    /// The rows.
    pub rows: SourceRows,
    /// The number that the next page begins with; `None` after the last.
    pub next: Option<i64>,
}

/// What rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRows {
    /// Todos of a store of ours.
    Ours(Vec<Numbered>),
    /// Rows of the older todo app.
    Older(Vec<OlderRow>),
}

/// How many rows are read at a time.
pub(in crate::todos) const PAGE_ROWS: usize = 200;

impl From<NumberedPage> for SourcePage {
    fn from(page: NumberedPage) -> Self {
        Self {
            next: page.next(),
            rows: SourceRows::Ours(page.items),
        }
    }
}

/// A store that nobody else writes to meanwhile.
pub(in crate::todos) struct HeldStore {
    pub(in crate::todos) store: Arc<dyn TodoStore>,
}

#[async_trait]
impl TodoSource for HeldStore {
    fn name(&self) -> &str {
        "station.db"
    }

    fn origin(&self) -> &str {
        "station.db"
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        self.store.count().await
    }

    async fn page(&mut self, from: i64) -> Result<SourcePage, StoreError> {
        Ok(self.store.by_number(from, PAGE_ROWS).await?.into())
    }
}
