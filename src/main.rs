//! Command line: reads the configuration, builds the real parts, then does the work.
//!
//! Real parts are constructed only in this binary, in `cli/parts.rs`; all other code takes the parts that it is given.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
