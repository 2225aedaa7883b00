//! The verbs that `xtask` hands to `xtask-lab`, as the help of both describes them.

/// Of `demo`.
pub const DEMO: &str = "Show the hole in nftables with Docker, and how one command closes it. Uses network namespaces";
/// Of `dist`.
pub const DIST: &str = "Build Debian packages for every architecture that this machine can compile for";
/// Of `bench`.
pub const BENCH: &str = "Measure the cost of packets and commands, and compare with xdp-filter";
/// Of `screenshot`.
pub const SCREENSHOT: &str = "Draw the live screen to docs/screen.svg, with made-up traffic and a real Docker";
/// Of `fuzz`.
pub const FUZZ: &str = "Fuzz the parsers of frames, allow lists and files";
