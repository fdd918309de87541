//! The `trestle` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(trestle::cli::main())
}
