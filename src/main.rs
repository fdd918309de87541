//! The `trestle` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    trestle::train::keep_freed_memory();
    ExitCode::from(trestle::cli::main())
}
