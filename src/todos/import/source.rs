//! The sources of an import. A source is only read.

use std::sync::Arc;

use async_trait::async_trait;

use super::{NumberedPage, NumberedTodo, OlderRow};
use crate::error::StoreError;
use crate::todos::TodoStore;

/// A source of todos. All pages come from one snapshot, and nothing is written.
#[async_trait]
pub trait TodoSource: Send {
    /// The name of the source, for a person.
    fn name(&self) -> &str;

    /// The permanent name of the source, which the importing store records.
    fn origin(&self) -> &str;

    /// The number of rows.
    async fn count(&mut self) -> Result<u64, StoreError>;

    /// A page of rows in the order of their numbers, beginning at the number `from`.
    async fn page(&mut self, from: i64) -> Result<SourcePage, StoreError>;
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePage {
    /// The rows.
    pub rows: SourceRows,
    /// The first number of the next page; `None` on the last page.
    pub next: Option<i64>,
}

/// The rows of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRows {
    /// Todos of a store of this program.
    Ours(Vec<NumberedTodo>),
    /// Rows of the older todo app.
    Older(Vec<OlderRow>),
}

/// The number of rows of a page.
pub(in crate::todos) const PAGE_ROWS: usize = 200;

impl From<NumberedPage> for SourcePage {
    fn from(page: NumberedPage) -> Self {
        Self {
            next: page.next(),
            rows: SourceRows::Ours(page.items),
        }
    }
}

/// The embedded store as a source. No other process can write to the store meanwhile.
pub(in crate::todos) struct StoreSource {
    pub(in crate::todos) store: Arc<dyn TodoStore>,
}

#[async_trait]
impl TodoSource for StoreSource {
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
