#![no_main]
#[path = "../../tests/fuzz/answers.rs"]
#[allow(dead_code)]
mod answers;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| answers::query(octets));
