//! What a person types to build, test, measure and show `fw`. One file a verb.

fn main() {}
