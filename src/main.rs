//! rhumb
fn main() {}
