//! The command line: configuration, then real parts, then work.
//!
//! The only place that constructs real parts; everything else takes what it is given.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
