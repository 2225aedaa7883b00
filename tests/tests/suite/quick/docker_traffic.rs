//! Traffic of containers of a real Docker engine works under an attached filter as before, and packets that neighbours route straight to them do not
//! pass.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, PI4, Transport,
        docker::{Container, Docker},
    },
    tests,
};

tests! {
    containers_work_as_before_with_the_userland_proxy;
    containers_work_as_before_with_iptables_alone;
}

fn containers_work_as_before_with_the_userland_proxy() -> Result<()> {
    let lab = Lab::without_containers()?;
    let pair = Pair::start(&lab, true)?;
    containers_reach_out_to_the_lan(&lab, &pair, Mode::Generic).context("out to the LAN")?;
    let direct = direct_routing_to_a_container_is_closed_at_an_allowed_port(&lab, &pair, Mode::Generic);
    direct.context("direct routing to a container")?;
    containers_reach_each_other_and_the_host(&lab, &pair, Mode::Native).context("each other and the host")
}

/// The filter sits on the LAN's interface alone: with the userland proxy as well as with a hairpin in the bridge.
fn containers_work_as_before_with_iptables_alone() -> Result<()> {
    let lab = Lab::without_containers()?;
    let pair = Pair::start(&lab, false)?;
    containers_reach_each_other_and_the_host(&lab, &pair, Mode::Generic)
}

/// Two containers on one bridge, the first of which publishes its port 80 as 9125.
struct Pair<'a> {
    docker: Docker<'a>,
    web: Container,
    client: Container,
}

impl<'a> Pair<'a> {
    fn start(lab: &'a Lab, userland_proxy: bool) -> Result<Self> {
        let docker = Docker::start(&lab.pi, userland_proxy)?;
        docker.run(&["network", "create", "own"])?;
        let publish = ["-p", "9125:80", "-p", "9125:80/udp", "--network", "own"];
        let web = docker.container("web", &publish)?;
        let client = docker.container("client", &["--network", "own"])?;
        Ok(Self { docker, web, client })
    }

    /// The host's address on the containers' bridge.
    fn gateway(&self) -> Result<IpAddr> {
        let format = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}";
        Ok(self.docker.run(&["inspect", "--format", format, &self.web.name])?.trim().parse()?)
    }
}

/// With the lab's input chain open for the rest of the test.
fn containers_reach_each_other_and_the_host(lab: &Lab, pair: &Pair<'_>, mode: Mode) -> Result<()> {
    // The input chain is for the LAN; a proxy answers containers as the host does.
    lab.pi.open_input()?;
    let (client, gateway) = (&pair.client.namespace, pair.gateway()?);
    let exchange = || -> Result<()> {
        for transport in Transport::ALL {
            let web = pair.web.namespace.serve(transport, 80)?;
            let host = lab.pi.serve(transport, 5000)?;
            client.reaches(&web, transport, pair.web.address, 80).context("container to container")?;
            client.reaches(&web, transport, gateway, 9125).context("by the host's published port")?;
            lab.pi.reaches(&web, transport, pair.web.address, 80).context("host to container")?;
            lab.pi.reaches(&web, transport, PI4, 9125).context("host to its own published port")?;
            client.reaches(&host, transport, gateway, 5000).context("container to host")?;
            if transport == Transport::Tcp {
                // Over UDP the servers, Docker's proxy among them, answer from the bridge's address, whatever they were asked at.
                client.reaches(&web, transport, PI4, 9125).context("by the published port at the LAN address")?;
                client.reaches(&host, transport, PI4, 5000).context("container to the host's LAN address")?;
            }
        }
        Ok(())
    };
    exchange().context("without the filter")?;
    lab.attach(mode, "22,80,443")?;
    exchange().context("with the filter")?;
    let web = pair.web.namespace.serve_tcp(80)?;
    lab.is_closed(&web, Transport::Tcp, PI4, 9125).context("the filter is there")
}

fn containers_reach_out_to_the_lan(lab: &Lab, pair: &Pair<'_>, mode: Mode) -> Result<()> {
    let exchange = || -> Result<()> {
        for (transport, port) in [(Transport::Tcp, 80), (Transport::Udp, 53)] {
            let server = lab.lan.serve(transport, port)?;
            pair.client.namespace.reaches(&server, transport, LAN4, port)?;
            assert_eq!(server.senders().pop().context("nothing arrived")?.ip(), PI4, "Docker masquerades");
        }
        pair.client.namespace.ping(LAN4)?;
        Ok(())
    };
    exchange().context("without the filter")?;
    lab.attach(mode, "22")?;
    exchange().context("with the filter")?;
    lab.fw(&["detach", "eth0"]).map(drop)
}

/// Port 80 is allowed, since the host serves it; the container's port 80 is published as 9125 only.
fn direct_routing_to_a_container_is_closed_at_an_allowed_port(lab: &Lab, pair: &Pair<'_>, mode: Mode) -> Result<()> {
    let address = pair.web.address;
    lab.lan.run(&format!("ip route add {address} via {PI4}"))?;
    let attach = |forward| {
        lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,80,443", "--forward", forward])
    };
    for transport in Transport::ALL {
        let server = pair.web.namespace.serve(transport, 80)?;
        lab.lan.reaches(&server, transport, address, 80).context("without the filter")?;
        attach("drop")?;
        let before = lab.stats("eth0")?.reason("forwarded").packets;
        lab.is_closed(&server, transport, address, 80)?;
        assert!(lab.stats("eth0")?.reason("forwarded").packets > before, "dropped for another reason");
        attach("pass")?;
        lab.lan.reaches(&server, transport, address, 80).context("with --forward pass")?;
        lab.fw(&["detach", "eth0"])?;
    }
    // Nothing but the way in was cut: the container's own connections to that neighbour work.
    let server = lab.lan.serve_tcp(5000)?;
    attach("drop")?;
    pair.web.namespace.echo_tcp(SocketAddr::new(LAN4, 5000))?;
    assert_eq!(server.reached(), 1);
    lab.fw(&["detach", "eth0"]).map(drop)
}
