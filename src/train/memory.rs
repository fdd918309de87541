//! The C library's allocator, set for tensors.
//!
//! Every tensor operation on the CPU takes a fresh buffer of some hundred kilobytes and gives one back. As it is set by
//! default, glibc returns such buffers to the kernel, which clears each page anew at the next operation: a fifth of a
//! training step of a small encoder. Here freed memory is kept, in one arena for all threads.

/// Makes the allocator keep freed memory. To be called once, before threads are made; a second call changes nothing. Does
/// nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            safe fn mallopt(parameter: i32, value: i32) -> i32;
        }
        const TRIM_THRESHOLD: i32 = -1;
        const TOP_PAD: i32 = -2;
        const MMAP_THRESHOLD: i32 = -3;
        const ARENA_MAX: i32 = -8;
        const MIB: i32 = 1 << 20;
        // A refused setting costs speed and nothing else.
        for (parameter, value) in
            [(ARENA_MAX, 1), (MMAP_THRESHOLD, 32 * MIB), (TRIM_THRESHOLD, 1024 * MIB), (TOP_PAD, 16 * MIB)]
        {
            mallopt(parameter, value);
        }
    }
}
