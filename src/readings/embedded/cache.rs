//! The chunks that late readings were looked up in last, decoded.

use rusqlite::Connection;

use super::chunks::{self, Chunk};
use crate::error::StoreError;
use crate::readings::{Point, Timestamp};

/// How many decoded chunks are kept: 64 KiB each.
const CHUNKS_MAX: usize = 64;

#[derive(Debug)]
struct Entry {
    chunk: Chunk,
    points: Vec<Point>,
    used: u64,
}

/// Decoded chunks, the least recently used one making room.
#[derive(Debug, Default)]
pub(crate) struct ChunkCache {
    entries: Vec<Entry>,
    /// Where the last lookup ended: late readings come in runs.
    latest: usize,
    clock: u64,
}

impl ChunkCache {
    /// The points of the chunk whose span holds a moment, if there is one.
    pub(crate) fn covering(
        &mut self,
        connection: &Connection,
        sensor: u32,
        moment: Timestamp,
    ) -> Result<Option<&[Point]>, StoreError> {
        self.clock += 1;
        let covers =
            |chunk: &Chunk| chunk.sensor == sensor && chunk.first <= moment && moment <= chunk.last;
        let latest = self.entries.get(self.latest);
        let held = match latest.filter(|entry| covers(&entry.chunk)) {
            Some(_) => Some(self.latest),
            None => self.entries.iter().position(|entry| covers(&entry.chunk)),
        };
        let at = match held {
            Some(at) => at,
            None => {
                let found = chunks::at_or_before(connection, sensor, moment)?;
                let Some(chunk) = found.filter(covers) else {
                    return Ok(None);
                };
                let points = chunks::points(connection, &chunk)?;
                self.insert(Entry {
                    chunk,
                    points,
                    used: 0,
                })
            }
        };
        self.latest = at;
        self.entries[at].used = self.clock;
        Ok(Some(&self.entries[at].points))
    }

    fn insert(&mut self, entry: Entry) -> usize {
        if self.entries.len() < CHUNKS_MAX {
            self.entries.push(entry);
            return self.entries.len() - 1;
        }
        let oldest = (0..self.entries.len())
            .min_by_key(|&at| self.entries[at].used)
            .unwrap_or(0);
        self.entries[oldest] = entry;
        oldest
    }

    /// Forgets a chunk that is no more.
    pub(crate) fn forget(&mut self, chunk: &Chunk) {
        self.entries.retain(|entry| entry.chunk.data != chunk.data);
    }

    /// Forgets everything, after a transaction that did not happen.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
