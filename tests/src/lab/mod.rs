//! The lab: a LAN, a Pi and its containers, as network namespaces on one machine.
//!
//! ```text
//!   lan                      pi                              container 0, 1, ...
//!   eth0 ------------------- eth0 [filter]   docker0 ------- eth0
//!   192.0.2.10      LAN      192.0.2.1       172.17.0.1      172.17.0.2, ...
//!   2001:db8:1::10           2001:db8:1::1   fd00:17::1      fd00:17::2, ...
//! ```
//! The Pi's nftables drop all that comes in but ports 22, 80 and 443, and publish two ports of the first container the way Docker
//! does: 9125, which nobody allowed, and 80. Nothing has a name outside, so tests run side by side, and everything is gone with the
//! [`Lab`], also when a test panics.

pub mod address;
pub mod all_or_nothing;
pub mod arrivals;
pub mod background;
pub mod client;
pub mod command;
pub mod config;
pub mod docker;
pub mod dropped;
pub mod explained;
pub mod faults;
pub mod filter;
pub mod fw;
pub mod http;
pub mod mode;
pub mod namespace;
pub mod netfilter;
pub mod offloads;
pub mod pins;
pub mod ppp;
pub mod process;
pub mod reach;
pub mod server;
pub mod skip;
pub mod ssh;
pub mod stats;
pub mod systemd;
pub mod tcx;
pub mod techniques;
pub mod terminal;
pub mod tmux;
pub mod traffic;
pub mod transport;
pub mod trivial;
pub mod tun;
pub mod wait;
pub mod wire;
pub mod wire_world;

use anyhow::Result;
use aya::util::KernelVersion;

pub use self::{
    address::{
        BRIDGE4, BRIDGE6, FAR4, FAR6, LAN_BROADCAST, LAN4, LAN6, PI4, PI6, SECOND_LAN4, SECOND_LAN6, SECOND_PI4,
        SECOND_PI6, container4, container6,
    },
    mode::{Mode, Refusal},
    namespace::Namespace,
    server::Server,
    transport::Transport,
};
use fw::FwUser;

/// The whole set-up of one test.
#[derive(Debug)]
pub struct Lab {
    /// The command under test. Declared first: the filter goes before the interfaces that it is on.
    pub fw: FwUser,
    /// Another machine on the LAN, and the Pi's default router.
    pub lan: Namespace,
    /// The machine under test.
    pub pi: Namespace,
    containers: Vec<Namespace>,
}

/// Whether the kernel has lists of programs at TC.
///
/// # Errors
/// It does not say its version.
pub fn has_tcx() -> Result<bool> {
    Ok(KernelVersion::current()? >= KernelVersion::new(6, 6, 0))
}

/// Play a test in TC mode. Without TCX in the kernel, check that the mode is refused with the reason.
///
/// # Errors
/// The test's own; the mode is not refused, or in other words.
pub fn at_tc(test: impl FnOnce(Mode) -> Result<()>) -> Result<()> {
    if has_tcx()? {
        return test(Mode::Tc);
    }
    let lab = Lab::without_containers()?;
    lab.refuses(&["attach", "eth0", "--mode", "tc", "--allow", "22"], 1, &["TCX", "Linux 6.6", "--mode generic"])
}

impl Lab {
    /// A LAN and a Pi with nftables' input chain closed, and no container yet.
    ///
    /// # Errors
    /// Not root, or no nftables, iproute2 or BPF here.
    pub fn without_containers() -> Result<Self> {
        Self::on_cable(|lan, pi| connect(lan, pi, "eth0"))
    }

    /// The same with another cable than one that is made for it: `lay` leaves an `eth0` at either end of it.
    ///
    /// # Errors
    /// As [`Lab::without_containers`], or `lay` failed.
    pub fn on_cable(lay: impl FnOnce(&Namespace, &Namespace) -> Result<()>) -> Result<Self> {
        let lab = Self { fw: FwUser::new()?, lan: Namespace::new()?, pi: Namespace::new()?, containers: Vec::new() };
        lay(&lab.lan, &lab.pi)?;
        lab.lan.set_address("eth0", &["192.0.2.10/24", "2001:db8:1::10/64"])?;
        lab.pi.set_address("eth0", &["192.0.2.1/24", "2001:db8:1::1/64"])?;
        lab.pi.run("ip route add default via 192.0.2.10")?;
        lab.pi.run("ip -6 route add default via 2001:db8:1::10")?;
        lab.pi.close_input()?;
        Ok(lab)
    }

    /// The same with one container and its ports published.
    ///
    /// # Errors
    /// As [`Lab::without_containers`].
    pub fn new() -> Result<Self> {
        let mut lab = Self::without_containers()?;
        // As dockerd does.
        lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
        lab.pi.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        lab.pi.run("ip link add docker0 type bridge")?;
        lab.pi.set_address("docker0", &["172.17.0.1/16", "fd00:17::1/64"])?;
        lab.pi.publish_ports()?;
        lab.add_container()?;
        Ok(lab)
    }

    /// Start another container on the bridge.
    ///
    /// # Errors
    /// The lab has no bridge: it was made by [`Lab::without_containers`].
    pub fn add_container(&mut self) -> Result<()> {
        let container = Namespace::new()?;
        let index = u8::try_from(self.containers.len())?;
        self.pi.run(&format!("ip link add veth{index} type veth peer name eth0 netns {}", container.path()))?;
        self.pi.run(&format!("ip link set veth{index} master docker0 up"))?;
        container.set_address("eth0", &[&format!("{}/16", container4(index)), &format!("{}/64", container6(index))])?;
        container.run(&format!("ip route add default via {BRIDGE4}"))?;
        container.run(&format!("ip -6 route add default via {BRIDGE6}"))?;
        self.containers.push(container);
        Ok(())
    }

    /// A container, counted from 0.
    ///
    /// # Panics
    /// There are not so many.
    #[must_use]
    pub fn container(&self, index: usize) -> &Namespace {
        &self.containers[index]
    }

    /// Connect Pi and LAN host a second time, by an `eth1` on either side.
    ///
    /// # Errors
    /// Called twice.
    pub fn add_second_lan(&self) -> Result<()> {
        connect(&self.lan, &self.pi, "eth1")?;
        self.lan.set_address("eth1", &["198.51.100.10/24", "2001:db8:2::10/64"])?;
        self.pi.set_address("eth1", &["198.51.100.1/24", "2001:db8:2::1/64"])
    }

    /// Give the Pi a bridge with a container's cable, beside which nobody else is.
    ///
    /// # Errors
    /// Called twice.
    pub fn add_inside_bridge(&self) -> Result<()> {
        self.pi.run("ip link add br0 type bridge")?;
        self.pi.run("ip link add veth0 type veth peer name veth1")?;
        self.pi.run("ip link set veth0 master br0 up")?;
        self.pi.set_address("br0", &["172.17.0.1/16"])
    }

    /// A machine that is reached through the LAN host as its router, over a link with an MTU of `mtu` in that direction.
    ///
    /// # Errors
    /// The MTU is below IPv6's 1280.
    pub fn add_far_host(&self, mtu: u16) -> Result<Namespace> {
        let far = Namespace::new()?;
        self.lan.run(&format!("ip link add eth9 type veth peer name eth0 netns {}", far.path()))?;
        self.lan.set_address("eth9", &["203.0.113.1/24", "2001:db8:3::1/64"])?;
        // By the routes, not by the interface, which would refuse what comes back in larger packets.
        self.lan.run(&format!("ip route change 203.0.113.0/24 dev eth9 src 203.0.113.1 scope link mtu {mtu}"))?;
        self.lan.run(&format!("ip -6 route add 2001:db8:3::/64 dev eth9 metric 1 mtu {mtu}"))?;
        self.lan.sysctl("net/ipv4/ip_forward", "1")?;
        self.lan.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        far.set_address("eth0", &["203.0.113.10/24", "2001:db8:3::10/64"])?;
        far.run("ip route add default via 203.0.113.1")?;
        far.run("ip -6 route add default via 2001:db8:3::1")?;
        Ok(far)
    }
}

/// A cable between two machines, with the same interface name on either side.
fn connect(one: &Namespace, other: &Namespace, name: &str) -> Result<()> {
    one.run(&format!("ip link add {name} type veth peer name {name} netns {}", other.path()))?;
    one.run(&format!("ip link set {name} up"))?;
    other.run(&format!("ip link set {name} up")).map(drop)
}

impl Namespace {
    /// Give an interface its addresses, and bring it up.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn set_address(&self, interface: &str, addresses: &[&str]) -> Result<()> {
        for address in addresses {
            // Multicast and broadcast behave as on any LAN only with the broadcast address set.
            let broadcast = if address.contains(':') { "nodad" } else { "broadcast +" };
            self.run(&format!("ip address add {address} {broadcast} dev {interface}"))?;
        }
        self.run(&format!("ip link set {interface} up")).map(drop)
    }
}
