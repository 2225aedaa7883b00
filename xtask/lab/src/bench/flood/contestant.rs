//! A filter on a stand of its own.

use anyhow::{Context as _, Result, ensure};
use fw_tests::lab::{Lab, PI4, Server, Transport, netfilter::CLOSED_TARGET};

use super::source::FROM;
use crate::bench::{
    filters::{Attached, CLOSED, Filter},
    stand::{Cpus, INTERFACE, LAN_MAC, Stand, know_neighbour},
};

/// The filter, and a container published at the closed port, with something that listens there.
pub(super) struct Contestant {
    pub(super) stand: Stand,
    filter: Filter,
    container: Option<Server>,
    _attached: Attached,
}

impl Contestant {
    /// Set all that up. Before the filter is there, the container can be reached.
    pub(super) fn new(filter: Filter, cpus: Cpus, queues: usize) -> Result<Self> {
        let lab = Lab::new()?;
        // The filter is measured, not this chain behind it.
        lab.pi.open_input()?;
        lab.lan.set_address(INTERFACE, &[&format!("{FROM}/24")])?;
        let container = lab.container(0).serve_udp(CLOSED_TARGET)?;
        lab.lan.reaches(&container, Transport::Udp, PI4, CLOSED)?;
        let stand = Stand::new(lab, cpus, queues)?;
        know_neighbour(&stand.lab.pi, FROM, LAN_MAC)?;
        let attached = filter.attach(&stand.lab).with_context(|| filter.name())?;
        // Nobody could read as fast as an unfiltered flood comes.
        let container = Some(container).filter(|_| filter != Filter::None);
        Ok(Self { stand, filter, container, _attached: attached })
    }

    /// Whether the filter held: what reached the container did so before it was there.
    pub(super) fn held(&self) -> Result<()> {
        if let Some(container) = &self.container {
            ensure!(container.reached() == 1, "{} let the flood through", self.filter.name());
        }
        Ok(())
    }
}
