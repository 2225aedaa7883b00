//! The tests that need a kernel and little else, as one program for the guests of `cargo xtask test --vm`. An attachment takes an emulated
//! processor some seconds, all of them the verifier's, so those that attach for every case are not among them.

#[path = "../../tests/suite/quick/flow_limits.rs"]
mod flow_limits;
#[path = "../../tests/suite/quick/lab_hole.rs"]
mod lab_hole;
#[path = "../../tests/suite/quick/lab_seeding.rs"]
mod lab_seeding;
#[path = "../../tests/suite/quick/table_host.rs"]
mod table_host;
#[path = "../../tests/suite/quick/table_kernel.rs"]
mod table_kernel;

mod above;
mod bond;
mod cards;
mod ipsec;
mod ppp;
mod programs;
mod streams;
mod tunnel;
mod wireguard;
