//! The `trestle` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A layer of Mesa's that sorts Vulkan devices looks for a display, and where there is none says so on the error stream.
    // Trestle does its own choosing.
    if std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: no other thread is there yet to read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    trestle::train::keep_freed_memory();
    ExitCode::from(trestle::cli::main())
}
