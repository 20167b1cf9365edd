//! `crik-controller`.
fn main() {}
