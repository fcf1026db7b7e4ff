//! not yet
fn main() {}
