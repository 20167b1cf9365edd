//! `crik`.
fn main() {}
