//! What a device's failures mean.
//!
//! A GPU computes later than it is asked to: an operation that fails marks its output, and the next reading of anything that
//! came of it returns the message. A few failures are panics instead (a buffer that the driver refuses in a build without
//! SPIR-V, a kernel that does not compile). Both kinds are only words, so the words are looked at: those of cubecl 0.11
//! (`IoError`, `LaunchError`, `DevicePoison`) and of wgpu 30. The CPU has neither: there the kernel ends a process that takes
//! too much memory, which [`super::memory`] looks out for beforehand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ModelError, OpenDevice};

/// Parts of messages of which each means that memory is too small, for a buffer or altogether.
const NO_MEMORY: [&str; 7] = [
    "out of memory",
    "out-of-memory",
    "out of device memory",
    "out_of_device_memory",
    "can't allocate buffer of size",
    "every page size the memory tracks",
    "greater than the maximum buffer size",
];
/// Parts of messages of which each means that the device will not answer again.
const LOST: [&str; 3] = ["poisoned", "device lost", "device is lost"];

/// The error of which a device says `message` while `doing` something.
pub fn failure(doing: &'static str, message: &str) -> ModelError {
    let said = without_backtrace(message);
    let lower = said.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if has(&LOST) {
        ModelError::DeviceLost { doing, problem: said }
    } else if has(&NO_MEMORY) {
        ModelError::OutOfMemory { problem: said }
    } else {
        ModelError::Execution { doing, problem: said }
    }
}

/// The words of a message, in one line, without the stack that some end with.
fn without_backtrace(message: &str) -> String {
    let is_stack = |line: &str| {
        let line = line.trim_start();
        let numbered = line.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        numbered || line.to_lowercase().starts_with("backtrace") || line.contains("disabled backtrace")
    };
    let lines = message.lines().take_while(|line| !is_stack(line));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

impl OpenDevice {
    /// The result of `work`, which asks the device to compute. On a GPU panics become errors; what `work` has changed by then
    /// is to be given up. On the CPU a panic is a bug and stays one.
    ///
    /// # Errors
    /// When the device fails at once. Most failures show at the next reading, or in [`OpenDevice::wait`].
    pub fn attempt<T>(&self, doing: &'static str, work: impl FnOnce() -> T) -> Result<T, ModelError> {
        if self.on_cpu() {
            return Ok(work());
        }
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            failure(doing, words.unwrap_or("a panic without words"))
        })
    }

    /// Waits until the device has computed everything asked of it so far.
    ///
    /// # Errors
    /// When some of it failed.
    pub fn wait(&self, doing: &'static str) -> Result<(), ModelError> {
        self.attempt(doing, || self.device.sync())?.map_err(|error| failure(doing, &error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::open_for_tests;
    use crate::model::weights::values;
    use burn::tensor::Tensor;

    #[test]
    fn messages_are_told_apart_and_lose_their_stack() {
        let said = |message: &str| failure("training", message).to_string();
        let full =
            "An error happened during execution\nCaused by:\n  out of device memory allocating 4096 bytes\n   0: a\n";
        assert!(matches!(failure("training", full), ModelError::OutOfMemory { .. }));
        assert!(said(full).contains("allocating 4096 bytes") && !said(full).contains("0: a"), "{}", said(full));
        assert!(said(full).contains("micro_batch_tokens"), "{}", said(full));
        let too_big = "can't allocate buffer of size: 9000000000\n<disabled backtrace>";
        assert!(matches!(failure("training", too_big), ModelError::OutOfMemory { .. }));
        let lost = "The device is poisoned\nCaused by:\n  Unknown: GPU reset after out of memory";
        assert!(matches!(failure("training", lost), ModelError::DeviceLost { .. }));
        assert!(said(lost).contains("last checkpoint"), "{}", said(lost));
        let other = "A compilation error happened during launch";
        assert!(matches!(failure("training", other), ModelError::Execution { doing: "training", .. }));
    }

    #[test]
    #[ignore = "needs a GPU or `make smoke-wgpu`"]
    fn wgpu_memory_that_is_not_there_is_an_error_and_the_device_goes_on() {
        let opened = open_for_tests();
        // A tebibyte, in two dimensions whose sizes are ordinary.
        let taken = opened.attempt("taking memory", || {
            let tensor = Tensor::<2>::zeros([1 << 19, 1 << 19], &opened.device) + 1.0;
            values(tensor.slice([0..1, 0..1]))
        });
        let error = taken.and_then(|read| read).unwrap_err();
        assert!(matches!(error, ModelError::OutOfMemory { .. }), "{error}");
        let sum = Tensor::<1>::from_data([1.0f32, 2.0], &opened.device).sum();
        assert_eq!(values(sum).unwrap(), [3.0]);
        opened.wait("adding").unwrap();
    }
}
