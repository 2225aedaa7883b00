//! Traffic inside the Pi does not concern a filter on its LAN interface.

use anyhow::{Context, Result};
use fw_tests::{
    lab::{BRIDGE4, BRIDGE6, Lab, Mode, PI4, PI6, Transport, container4, container6, netfilter::CLOSED_TARGET},
    tests,
};

tests! { in native mode:
    containers_and_host_talk_to_each_other;
}

tests! { in generic mode:
    the_host_talks_to_itself;
}

fn containers_and_host_talk_to_each_other(mode: Mode) -> Result<()> {
    let mut lab = Lab::new()?;
    lab.add_container()?;
    // The input chain would refuse containers on its own account.
    lab.pi.open_input()?;
    let exchange = |lab: &Lab| -> Result<()> {
        for transport in Transport::ALL {
            let container = lab.container(0).serve(transport, CLOSED_TARGET)?;
            let host = lab.pi.serve(transport, 5000)?;
            for (first, bridge, pi) in [(container4(0), BRIDGE4, PI4), (container6(0), BRIDGE6, PI6)] {
                lab.container(1).reaches(&container, transport, first, CLOSED_TARGET).context("among containers")?;
                lab.pi.reaches(&container, transport, first, CLOSED_TARGET).context("host to container")?;
                lab.pi.reaches(&container, transport, pi, 9125).context("host to its published port")?;
                lab.container(1).reaches(&host, transport, bridge, 5000).context("container to host")?;
            }
        }
        Ok(())
    };
    exchange(&lab).context("without the filter")?;
    lab.attach(mode, "22")?;
    exchange(&lab).context("with the filter")
}

fn the_host_talks_to_itself(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let exchange = |lab: &Lab| -> Result<()> {
        for transport in Transport::ALL {
            let server = lab.pi.serve(transport, 5000)?;
            for address in ["127.0.0.1", "::1", "192.0.2.1", "2001:db8:1::1"] {
                lab.pi.reaches(&server, transport, address.parse()?, 5000)?;
            }
        }
        Ok(())
    };
    exchange(&lab).context("without the filter")?;
    lab.attach(mode, "22")?;
    exchange(&lab).context("with the filter")
}
