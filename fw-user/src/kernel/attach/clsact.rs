//! The clsact qdisc of an interface, asked of the kernel by rtnetlink.

use aya::programs::tc::TcHandle;
use futures_util::TryStreamExt;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::{
    Handle,
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle as Place, TcMessage},
    },
};

use crate::{
    error::{Error, Result},
    host::{interface::Interface, netlink},
};

/// The qdisc's own handle, `ffff:`.
const QDISC: u32 = 0xffff_0000;

/// Whether a BPF filter with this priority and handle is on the way out.
pub(crate) fn has_egress_filter(interface: &Interface, priority: u16, handle: TcHandle) -> Result<bool> {
    let handle = Place::from(u32::from(handle));
    let is_it = |filter: &TcMessage| filter.header.handle == handle && kind(filter) == Some("bpf");
    Ok(egress_filters_of(interface, priority)?.iter().any(is_it))
}

/// What keeps a BPF filter for all protocols from this priority on the way out, by its kind: the kernel has filters of one kind and one
/// protocol at each (`tcf_chain_tp_find`, `net/sched/cls_api.c`).
pub(crate) fn in_the_way(interface: &Interface, priority: u16) -> Result<Option<String>> {
    // The lower half is the protocol, in network byte order.
    let protocol = |filter: &TcMessage| u16::from_be((filter.header.info & 0xffff) as u16);
    let fits = |filter: &TcMessage| kind(filter) == Some("bpf") && i32::from(protocol(filter)) == libc::ETH_P_ALL;
    let other = egress_filters_of(interface, priority)?.into_iter().find(|filter| !fits(filter));
    Ok(other.map(|filter| kind(&filter).unwrap_or("nameless").to_owned()))
}

fn egress_filters_of(interface: &Interface, priority: u16) -> Result<Vec<TcMessage>> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::refused(format!("looking for the egress filters of {}", interface.name), error)
    };
    let mut question = TcMessage::with_index(i32::try_from(interface.index).map_err(|error| failed(error.into()))?);
    question.header.parent = Place { major: Place::CLSACT.major, minor: Place::MIN_EGRESS };
    let answers = netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetTrafficFilter(question));
    let filters = answers.map_err(|error| failed(error.into()))?.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewTrafficFilter(filter) => Some(filter),
        _ => None,
    });
    Ok(filters.filter(|filter| filter.header.info >> 16 == u32::from(priority)).collect())
}

/// Whether the interface has the qdisc.
pub(crate) async fn is_there(interface: &Interface) -> Result<bool> {
    ask("looking for the clsact qdisc", interface, async |kernel, index| is_on(&kernel, index).await).await
}

/// Remove the qdisc, unless it is gone or somebody has a filter there.
pub(crate) async fn remove_empty(interface: &Interface) -> Result<()> {
    ask("removing the clsact qdisc", interface, async |kernel, index| {
        // One after the other: a second question on a socket that still answers the first is refused (EBUSY).
        let is_used =
            !ingress_filters(&kernel, index).await?.is_empty() || !egress_filters(&kernel, index).await?.is_empty();
        if is_used || !is_on(&kernel, index).await? {
            return Ok(());
        }
        let mut request = kernel.qdisc().del(index);
        request.message_mut().header.parent = Place::CLSACT;
        request.message_mut().header.handle = Place::from(QDISC);
        request.execute().await
    })
    .await
}

async fn is_on(kernel: &Handle, index: i32) -> Result<bool, rtnetlink::Error> {
    let qdiscs: Vec<_> = kernel.qdisc().get().index(index).execute().try_collect().await?;
    // Kernels tell of the qdiscs of all interfaces, whatever the index says.
    Ok(qdiscs.iter().any(|qdisc: &TcMessage| qdisc.header.index == index && kind(qdisc) == Some("clsact")))
}

async fn ingress_filters(kernel: &Handle, index: i32) -> Result<Vec<TcMessage>, rtnetlink::Error> {
    kernel.traffic_filter(index).get().ingress().execute().try_collect().await
}

async fn egress_filters(kernel: &Handle, index: i32) -> Result<Vec<TcMessage>, rtnetlink::Error> {
    kernel.traffic_filter(index).get().egress().execute().try_collect().await
}

fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })
}

async fn ask<T>(
    what: &str,
    interface: &Interface,
    work: impl AsyncFnOnce(Handle, i32) -> Result<T, rtnetlink::Error>,
) -> Result<T> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::refused(format!("{what} of {}", interface.name), error)
    };
    let index = i32::try_from(interface.index).map_err(|error| failed(error.into()))?;
    let (connection, kernel, _) = rtnetlink::new_connection().map_err(|error| failed(error.into()))?;
    let connection = tokio::spawn(connection);
    let result = work(kernel, index).await;
    connection.abort();
    result.map_err(|error| failed(error.into()))
}
