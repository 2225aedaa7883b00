//! What Prometheus gets to read: taken from the kernel and the files at each scrape, never kept.
//!
//! [`reading`] asks, [`ports`] chooses which ports are told of, so that nobody outside can make the answer grow, [`exposition`] writes the
//! two text formats, and [`server`] is the endpoint; `connections` bounds who may keep it busy.

mod connections;
pub mod exposition;
pub mod ports;
pub mod reading;
pub mod server;
