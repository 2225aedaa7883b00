//! The clsact qdisc of an interface, through rtnetlink.

use aya::programs::tc::TcHandle;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle as Place, TcMessage},
};

use crate::{
    error::{Error, Result},
    host::{interface::Interface, netlink},
};

/// The qdisc's own handle, `ffff:`.
const QDISC: u32 = 0xffff_0000;

/// Whether a BPF filter with this priority and handle is at egress.
pub(crate) fn has_egress_filter(interface: &Interface, priority: u16, handle: TcHandle) -> Result<bool> {
    let handle = Place::from(u32::from(handle));
    let is_it = |filter: &TcMessage| filter.header.handle == handle && kind(filter) == Some("bpf");
    Ok(egress_filters_of(interface, priority)?.iter().any(is_it))
}

/// The kind of a filter at egress that prevents a BPF filter for all protocols at this priority: each priority has filters of one kind and one
/// protocol (`tcf_chain_tp_find`, `net/sched/cls_api.c`).
pub(crate) fn in_the_way(interface: &Interface, priority: u16) -> Result<Option<String>> {
    // The lower half is the protocol, in network byte order.
    let protocol = |filter: &TcMessage| u16::from_be((filter.header.info & 0xffff) as u16);
    let fits = |filter: &TcMessage| kind(filter) == Some("bpf") && i32::from(protocol(filter)) == libc::ETH_P_ALL;
    let other = egress_filters_of(interface, priority)?.into_iter().find(|filter| !fits(filter));
    Ok(other.map(|filter| kind(&filter).unwrap_or("nameless").to_owned()))
}

fn egress_filters_of(interface: &Interface, priority: u16) -> Result<Vec<TcMessage>> {
    let filters = filters(interface, Place::MIN_EGRESS)?;
    Ok(filters.into_iter().filter(|filter| filter.header.info >> 16 == u32::from(priority)).collect())
}

/// The filters at ingress or egress, by the minor number of the hook.
fn filters(interface: &Interface, minor: u16) -> Result<Vec<TcMessage>> {
    let mut question = about(interface)?;
    question.header.parent = Place { major: Place::CLSACT.major, minor };
    let answers = netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetTrafficFilter(question))
        .map_err(|error| Error::refused(format!("looking for the filters of {}", interface.name), error))?;
    let filter = |answer| match answer {
        RouteNetlinkMessage::NewTrafficFilter(filter) => Some(filter),
        _ => None,
    };
    Ok(answers.into_iter().filter_map(filter).collect())
}

/// Whether the interface has the qdisc.
pub(crate) fn is_there(interface: &Interface) -> Result<bool> {
    let question = about(interface)?;
    let index = question.header.index;
    let answers = netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetQueueDiscipline(question))
        .map_err(|error| Error::refused(format!("looking for the clsact qdisc of {}", interface.name), error))?;
    // Kernels list the qdiscs of all interfaces, whatever the index says.
    Ok(answers.iter().any(|answer| {
        matches!(answer, RouteNetlinkMessage::NewQueueDiscipline(qdisc) if qdisc.header.index == index && kind(qdisc) == Some("clsact"))
    }))
}

/// Remove the qdisc, unless it is gone or has a filter.
pub(crate) fn remove_empty(interface: &Interface) -> Result<()> {
    let is_used =
        !filters(interface, Place::MIN_INGRESS)?.is_empty() || !filters(interface, Place::MIN_EGRESS)?.is_empty();
    if is_used || !is_there(interface)? {
        return Ok(());
    }
    let mut qdisc = about(interface)?;
    qdisc.header.parent = Place::CLSACT;
    qdisc.header.handle = Place::from(QDISC);
    netlink::change(NETLINK_ROUTE, RouteNetlinkMessage::DelQueueDiscipline(qdisc))
        .map_err(|error| Error::refused(format!("removing the clsact qdisc of {}", interface.name), error))
}

/// A message about an object of an interface.
fn about(interface: &Interface) -> Result<TcMessage> {
    let index = i32::try_from(interface.index)
        .map_err(|error| Error::refused(format!("asking for the filters of {}", interface.name), error))?;
    Ok(TcMessage::with_index(index))
}

fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })
}
