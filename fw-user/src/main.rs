//! The `fw-user` command.

fn main() {}
