//! Parsers: turn the body of a request into readings, piece by piece, while the body arrives.

mod arguments;
mod body;
mod budget;
mod collector;
mod csv;
mod decode;
mod error;
mod field;
mod fields;
mod item;
mod json;
mod lines;
mod ndjson;
mod plain;
#[cfg(test)]
mod tests;
mod values;

pub use self::collector::{Parsed, Rejection};
pub use arguments::Arguments;
pub use body::{BatchParser, Format};
pub use budget::{ByteBudget, ByteShare, OverBudget};
pub use decode::Decoder;
pub use error::{BodyError, BodyErrorKind, ItemError, PositionKind};
pub use field::Field;
pub use item::Item;
