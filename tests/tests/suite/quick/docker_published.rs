//! Ports that a real Docker engine publishes: open past the input chain before `attach`, closed after it.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, PI4, Server, Transport,
        docker::{Container, Docker},
        wait,
    },
    tests,
};

tests! {
    what_docker_publishes_with_the_userland_proxy_is_closed;
    what_docker_publishes_by_iptables_alone_is_closed;
}

/// Something that is done with a daemon, and what it is called.
type Step = (&'static str, fn(&Lab, &mut Docker<'_>) -> Result<()>);

/// A daemon takes seconds to start, so one plays several steps, each of which begins without a container and without a filter.
fn play(userland_proxy: bool, steps: &[Step]) -> Result<()> {
    let lab = Lab::without_containers()?;
    let mut docker = Docker::start(&lab.pi, userland_proxy)?;
    for (name, step) in steps {
        step(&lab, &mut docker).context(*name)?;
        lab.nothing_is_left_behind().context(*name)?;
        docker.remove_containers()?;
    }
    Ok(())
}

fn what_docker_publishes_with_the_userland_proxy_is_closed() -> Result<()> {
    play(
        true,
        &[
            ("native mode", |lab, docker| the_hole_is_closed(lab, docker, Mode::Native, None)),
            ("generic mode", |lab, docker| the_hole_is_closed(lab, docker, Mode::Generic, None)),
            ("a bridge of the user's own", |lab, docker| the_hole_is_closed(lab, docker, Mode::Native, Some("own"))),
            ("refusals, limits and the LAN", rules_of_other_kinds_hold_for_a_container),
            ("a container that is restarted", a_restarted_container_stays_closed),
            ("a dockerd that is restarted", restarting_dockerd_opens_nothing),
            // Last, since a daemon does not make its rules anew.
            ("rules that are flushed", flushing_the_rules_opens_nothing),
        ],
    )
}

fn what_docker_publishes_by_iptables_alone_is_closed() -> Result<()> {
    play(
        false,
        &[
            ("the default bridge", |lab, docker| the_hole_is_closed(lab, docker, Mode::Generic, None)),
            ("a bridge of the user's own", |lab, docker| the_hole_is_closed(lab, docker, Mode::Native, Some("own"))),
        ],
    )
}

/// A container that publishes two ports: one that is not allowed, and one that is meant to be open.
const PUBLISH: [&str; 8] = ["-p", "9125:80", "-p", "9125:80/udp", "-p", "80:8080", "-p", "80:8080/udp"];

/// Servers in a container, behind the closed and the open port, for TCP and UDP.
struct Servers(Vec<(Transport, Server, Server)>);

impl Servers {
    fn start(container: &Container) -> Result<Self> {
        let pair = |transport| {
            Ok((transport, container.namespace.serve(transport, 80)?, container.namespace.serve(transport, 8080)?))
        };
        Transport::ALL.into_iter().map(pair).collect::<Result<_>>().map(Self)
    }

    /// Both ports are reached from the LAN: the hole.
    fn are_reached(&self, lab: &Lab) -> Result<()> {
        for (transport, closed, open) in &self.0 {
            lab.lan.reaches(closed, *transport, PI4, 9125).context("without the filter")?;
            lab.lan.reaches(open, *transport, PI4, 80).context("without the filter")?;
        }
        Ok(())
    }

    /// Only the open port is.
    fn are_filtered(&self, lab: &Lab) -> Result<()> {
        for (transport, closed, open) in &self.0 {
            lab.is_closed(closed, *transport, PI4, 9125)?;
            lab.lan.reaches(open, *transport, PI4, 80)?;
        }
        Ok(())
    }
}

fn the_hole_is_closed(lab: &Lab, docker: &Docker<'_>, mode: Mode, network: Option<&str>) -> Result<()> {
    let mut args = PUBLISH.to_vec();
    if let Some(network) = network {
        docker.run(&["network", "create", network])?;
        args.extend(["--network", network]);
    }
    let servers = Servers::start(&docker.container("web", &args)?)?;
    servers.are_reached(lab)?;
    lab.attach(mode, "22,80,443")?;
    servers.are_filtered(lab)?;
    lab.fw(&["detach", "eth0"])?;
    servers.are_reached(lab)
}

/// The container comes back with another namespace and perhaps another address: nothing has to be refreshed for that.
fn rules_of_other_kinds_hold_for_a_container(lab: &Lab, docker: &mut Docker<'_>) -> Result<()> {
    let container = docker.container("web", &PUBLISH)?;
    let server = container.namespace.serve_tcp(8080)?;
    let reaches = || lab.lan.reaches(&server, Transport::Tcp, PI4, 80);
    let is_closed = || lab.is_closed(&server, Transport::Tcp, PI4, 80);
    lab.attach(Mode::Native, "22,80/tcp")?;
    reaches()?;
    let refusal = format!("80/tcp@{LAN4}");
    lab.fw(&["deny", &refusal])?;
    is_closed().context("refused")?;
    lab.fw(&["allow", &refusal])?;
    reaches()?;
    lab.fw(&["deny", "80/tcp"])?;
    lab.fw(&["allow", "80/tcp@lan"])?;
    reaches().context("the LAN")?;
    lab.fw(&["limit", "80/tcp=1/1h@lan"])?;
    reaches().context("the first connection")?;
    let (before, limited) = (server.reached(), lab.stats("eth0")?.reason("limited").packets);
    let _limited = lab.lan.try_tcp(SocketAddr::new(PI4, 80));
    wait::until("a connection to be limited", || {
        Ok((lab.stats("eth0")?.reason("limited").packets > limited).then_some(()))
    })?;
    ensure!(server.reached() == before, "a second connection arrived");
    lab.fw(&["detach", "eth0"]).map(drop)
}

fn a_restarted_container_stays_closed(lab: &Lab, docker: &mut Docker<'_>) -> Result<()> {
    let container = docker.container("web", &PUBLISH)?;
    Servers::start(&container)?.are_reached(lab)?;
    lab.attach(Mode::Generic, "22,80,443")?;
    Servers::start(&container)?.are_filtered(lab)?;
    let container = docker.restart_container(container)?;
    Servers::start(&container)?.are_filtered(lab)?;
    // A container that was not there when the filter was attached.
    docker.run(&["rm", "--force", &container.name])?;
    let servers = Servers::start(&docker.container("another", &PUBLISH)?)?;
    servers.are_filtered(lab)?;
    lab.fw(&["detach", "eth0"])?;
    servers.are_reached(lab).context("it was the filter that kept it closed")
}

/// With every rule gone, the userland proxy answers at the published ports: on a host without any input chain.
fn flushing_the_rules_opens_nothing(lab: &Lab, docker: &mut Docker<'_>) -> Result<()> {
    let servers = Servers::start(&docker.container("web", &PUBLISH)?)?;
    servers.are_reached(lab)?;
    lab.attach(Mode::Native, "22,80,443")?;
    servers.are_filtered(lab)?;
    lab.pi.run("nft flush ruleset")?;
    servers.are_filtered(lab).context("after nft flush ruleset")?;
    lab.fw(&["detach", "eth0"])?;
    servers.are_reached(lab).context("it was the filter that kept it closed")
}

fn restarting_dockerd_opens_nothing(lab: &Lab, docker: &mut Docker<'_>) -> Result<()> {
    let container = docker.container("web", &PUBLISH)?;
    Servers::start(&container)?.are_reached(lab)?;
    lab.attach(Mode::Generic, "22,80,443")?;
    Servers::start(&container)?.are_filtered(lab)?;
    docker.restart()?;
    docker.run(&["start", &container.name])?;
    let container = docker.inspect(&container.name)?;
    let servers = Servers::start(&container)?;
    servers.are_filtered(lab).context("after dockerd was restarted")?;
    lab.fw(&["detach", "eth0"])?;
    servers.are_reached(lab).context("it was the filter that kept it closed")
}
