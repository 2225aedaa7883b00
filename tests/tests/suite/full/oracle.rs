//! Random frames, so many of them that rare ones come as well.

use crate::quick::oracle;

#[test]
fn host_and_kernel_and_another_parser_agree_on_a_quarter_million_random_frames() {
    oracle::agree_on(250_000);
}
