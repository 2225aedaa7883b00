//! The slow tests: boots, packages, every fault at every step, scanners, other programs. `cargo xtask test --all` runs them.

mod ansible;
mod boot;
mod container;
mod crowdsec;
mod docs_builds;
mod evasion_ipv6_tools;
mod evasion_scanners;
mod fail2ban;
mod faults;
mod lab_crowd;
mod lab_wire;
mod oracle;
mod packages;
mod prometheus;
