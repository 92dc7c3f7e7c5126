//! The `sealwright` program.

/// Memory is wiped when it is freed, so that what was in clear for a moment (a body, a key) does not linger in the process.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> std::process::ExitCode {
    sealwright::cli::main()
}
