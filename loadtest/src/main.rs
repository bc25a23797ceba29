//! The command line of the load tester.

fn main() {}
