//! Allow lists.
#![no_main]

use fw_tests::fuzz::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| (Target::ALLOW.run)(input));
