//! The tests that need a kernel and little else, as one program for the guests of `cargo xtask test --vm`.

#[path = "../../tests/flow_limits.rs"]
mod flow_limits;
#[path = "../../tests/lab_hole.rs"]
mod lab_hole;
#[path = "../../tests/lab_inside.rs"]
mod lab_inside;
#[path = "../../tests/lab_interfaces.rs"]
mod lab_interfaces;
#[path = "../../tests/lab_outward.rs"]
mod lab_outward;
#[path = "../../tests/lab_policy.rs"]
mod lab_policy;
#[path = "../../tests/lab_seeding.rs"]
mod lab_seeding;
#[path = "../../tests/lab_wire.rs"]
mod lab_wire;
#[path = "../../tests/table_host.rs"]
mod table_host;
#[path = "../../tests/table_kernel.rs"]
mod table_kernel;

mod cards;
mod programs;
