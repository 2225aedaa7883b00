//! The receivers of inbound packets, found on a separate thread so that the screen does not wait for Docker.

use std::{collections::BTreeMap, thread, time::Duration};

use tokio::{runtime, sync::mpsc};

use crate::{
    cmd::stats::screen::reading::Port,
    error::Result,
    host::targets::{self, Targets},
};

/// How long the result is believed.
const LIFETIME: Duration = Duration::from_secs(10);

/// Find the receivers again and again, until the channel closes.
pub(crate) fn follow() -> Result<mpsc::Receiver<BTreeMap<Port, String>>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, receiver) = mpsc::channel(1);
    // Nothing waits for the thread: it ends with the process, whatever Docker does.
    thread::Builder::new().name("names".to_owned()).spawn(move || {
        let socket = targets::docker_socket();
        runtime.block_on(async {
            loop {
                // If they cannot be read, the last result stays.
                if let Ok(targets) = Targets::read(&socket).await
                    && sender.send(names(&targets)).await.is_err()
                {
                    return;
                }
                tokio::time::sleep(LIFETIME).await;
            }
        });
    })?;
    Ok(receiver)
}

/// The first one at each port that others can reach.
fn names(targets: &Targets) -> BTreeMap<Port, String> {
    let mut names = BTreeMap::new();
    for endpoint in targets.endpoints().iter().filter(|endpoint| !endpoint.is_local_only()) {
        let port = (endpoint.protocol, endpoint.local.port());
        names.entry(port).or_insert_with(|| endpoint.target.to_string());
    }
    names
}
