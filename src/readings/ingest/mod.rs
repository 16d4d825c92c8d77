//! From the bytes that a client sends to readings.

mod item;
mod plain;

pub use item::{Item, ItemError};
