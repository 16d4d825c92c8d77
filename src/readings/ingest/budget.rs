//! One bound on the memory of all bodies that are being read at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is handed out in pieces of this size.
const UNIT_BYTES: usize = 16 * 1024;

/// A bound on bytes, shared by everybody who holds some.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    units: Arc<Semaphore>,
}

/// There are no more bytes to be had at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget;

impl ByteBudget {
    /// A budget of about so many bytes.
    pub fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(units)),
        }
    }

    /// A share that holds nothing yet.
    pub fn share(&self) -> ByteShare {
        ByteShare {
            budget: self.clone(),
            held: None,
        }
    }
}

/// Somebody's part of a [`ByteBudget`], given back when it is dropped.
#[derive(Debug)]
pub struct ByteShare {
    budget: ByteBudget,
    held: Option<OwnedSemaphorePermit>,
}

impl ByteShare {
    /// Makes sure that the share holds at least so many bytes.
    ///
    /// # Errors
    /// [`OverBudget`] when others hold too much; waiting here could wait for itself.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = bytes.div_ceil(UNIT_BYTES).checked_sub(held) else {
            return Ok(());
        };
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| OverBudget)?;
        let more = Arc::clone(&self.budget.units)
            .try_acquire_many_owned(missing)
            .map_err(|_| OverBudget)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}
