//! The `fieldstation` binary.

fn main() {}
