//! Packet builders, the case table and the lab.

pub mod cases;
pub mod deb;
pub mod fuzz;
pub mod kernel;
pub mod lab;
pub mod model;
pub mod oracle;
pub mod packet;
pub mod pages;
pub mod report;
pub mod row;
pub mod vm;
pub mod world;
