//! `fw-user metrics`: for Prometheus, at an address or in a file.

#[cfg(feature = "metrics")]
pub(crate) mod args;
pub(crate) mod connections;
pub(crate) mod exposition;
pub mod ports;
pub(crate) mod reading;
pub(crate) mod server;

use std::{fs, path::Path};

use tokio::sync::watch;

use crate::{
    cmd::{
        metrics::{args::MetricsArgs, exposition::Format, reading::Source, server::Server},
        signals::{Stop, every},
    },
    config::Applies,
    error::{Error, HostError, Result},
    host::{output_file, privilege},
    kernel::pins::Pins,
    output::{complain, print},
};

pub(crate) async fn run(pins: &Pins, config: &Path, args: &MetricsArgs) -> Result<()> {
    privilege::check()?;
    let source = source(pins, config, None);
    let mut stop = Stop::listen()?;
    let Some(path) = &args.textfile else {
        let server = Server::bind(args.listen)?;
        announce(&server)?;
        print("Ctrl-C ends the metrics, not the filter\n")?;
        return tokio::select! {
            never = server.serve(source) => match never? {},
            () = stop.wait() => Ok(()),
        };
    };
    // Fail on problems at the start, such as a missing folder: somebody must fix them.
    write(&source, path)?;
    let Some(interval) = args.interval else { return Ok(()) };
    let mut ticks = every(interval);
    ticks.reset();
    let mut is_told = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.wait() => return Ok(()),
        }
        // Survive a disk that is full for a while, and complain only once.
        match write(&source, path) {
            Err(error) if !is_told => {
                complain(&format!("fw-user: {error}\nthis is tried again every {} s", interval.as_secs_f64()));
                is_told = true;
            }
            outcome => is_told &= outcome.is_err(),
        }
    }
}

/// The source of this machine's metrics.
pub(crate) fn source(pins: &Pins, config: &Path, applies: Option<watch::Receiver<Applies>>) -> Source {
    Source { pins: pins.clone(), config: config.to_owned(), applies }
}

/// Print where the metrics are, and who else can read them.
pub(crate) fn announce(server: &Server) -> Result<()> {
    let address = server.address();
    print(&format!("metrics are at http://{address}/metrics\n"))?;
    if !address.ip().is_loopback() {
        complain(&format!(
            "note: other machines can read this address without a password; the filter lets in only those you name: fw-user allow \
             {}/tcp@192.168.1.5",
            address.port()
        ));
    }
    Ok(())
}

/// Replace the old file atomically, so that a reader finds one of the two complete. Another user may own the folder.
fn write(source: &Source, path: &Path) -> Result<()> {
    let text = exposition::encode(source.read()?, Format::Prometheus)?;
    let failed = |source| Error::Host(HostError::File { what: "writing", path: path.to_owned(), source });
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that nobody reads helps nobody.
    fs::metadata(folder).map_err(failed)?;
    output_file::replace(path, &text)
}
