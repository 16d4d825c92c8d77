//! From the bytes that a client sends to readings: parsers that are fed a body piece by piece as it arrives.

mod arguments;
mod body;
mod budget;
mod collector;
mod csv;
mod decode;
mod fields;
mod item;
mod json;
mod lines;
mod names;
mod ndjson;
mod plain;
#[cfg(test)]
mod tests;

pub use self::collector::{Parsed, PositionKind, Rejection};
pub use arguments::Arguments;
pub use body::{BatchParser, BodyError, BodyErrorKind, Format};
pub use budget::{ByteBudget, ByteShare, OverBudget};
pub use decode::{Decoder, Encoding};
pub use item::{Item, ItemError};
pub use names::Field;
