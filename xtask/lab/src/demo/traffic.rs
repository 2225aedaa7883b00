//! Something to count: a laptop that scans the Pi, and visits the page that is meant for it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use fw_tests::lab::{Namespace, PI4};

use super::web;

/// Ports of what people run in containers: brokers, databases, caches, dashboards.
const SCANNED: [u16; 9] = [1883, 3306, 5432, 6379, 8086, 9000, 9090, 9125, LAST];
/// The last port of a round.
pub(super) const LAST: u16 = 27017;
/// A pause between two attempts, for numbers that can be followed by eye.
const PAUSE: Duration = Duration::from_millis(20);

/// Do something while the laptop scans.
pub(super) fn while_scanning<T>(laptop: &Namespace, work: impl FnOnce() -> T) -> T {
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for port in SCANNED.into_iter().cycle().take_while(|_| !stopping.load(Ordering::Relaxed)) {
                // The statistics show the result.
                let _knock = laptop.try_tcp(SocketAddr::new(PI4, port));
                let _page = web::get(laptop, SocketAddr::new(PI4, 80));
                thread::sleep(PAUSE);
            }
        });
        let done = work();
        stopping.store(true, Ordering::Relaxed);
        done
    })
}
