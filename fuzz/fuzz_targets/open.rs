//! Drives `durable_laboratory::fuzz_open`, and stops at what it finds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(finding) = durable_laboratory::fuzz_open(input) {
        eprintln!("{finding}");
        std::process::abort();
    }
});
