//! A bound on the memory of all bodies in parsing at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of memory in the budget.
const UNIT_BYTES: usize = 16 * 1024;

/// The number of bytes for all shares together.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    units: Arc<Semaphore>,
}

/// The budget has too few bytes left at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget;

impl ByteBudget {
    /// A budget of `bytes`, rounded up to the unit.
    pub fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(units)),
        }
    }

    /// A share of no bytes.
    pub fn share(&self) -> ByteShare {
        ByteShare {
            budget: self.clone(),
            held: None,
        }
    }
}

/// A part of a [`ByteBudget`], returned to the budget when the share is dropped.
#[derive(Debug)]
pub struct ByteShare {
    budget: ByteBudget,
    held: Option<OwnedSemaphorePermit>,
}

impl ByteShare {
    /// Enlarges the share to at least `bytes`.
    ///
    /// # Errors
    /// [`OverBudget`] when other shares hold too much. The call does not wait, because shares that wait for each other would wait
    /// forever.
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
