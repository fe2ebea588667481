//! Drives `durable_laboratory::fuzz_rows`, and stops at what it finds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(finding) = durable_laboratory::fuzz_rows(input) {
        eprintln!("{finding}");
        std::process::abort();
    }
});
