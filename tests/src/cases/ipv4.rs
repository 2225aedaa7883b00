//! The IPv4 header: lengths, options, and fields that make no difference.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{self, Allowed, ClosedPort, Malformed, Protocol, SourceRoute, Truncated},
};

use crate::{
    packet::{Ipv4, Stack, eth},
    row::{Row, row},
};

pub(super) fn rows() -> Vec<Row> {
    [lengths(), inside_total_length(), ports_behind_options(), source_routes(), bad_options(), no_difference()].concat()
}

/// A SYN to port 22, which is allowed, under a header that is told to lie. It is 40 bytes long.
fn ssh(name: &str, lie: impl FnOnce(Stack<Ipv4>) -> Stack<Ipv4>, reason: Reason) -> Row {
    let row = row(name).allow("22/tcp").receives(lie(eth().ipv4()).tcp(40_000, 22).syn(), reason);
    if reason == Allowed { row.under(Tcp, 22) } else { row }
}

fn lengths() -> Vec<Row> {
    let mut rows: Vec<Row> = (0..5)
        .map(|words| ssh(&format!("an IHL of {words} is malformed"), |ip| ip.header_words(words), Malformed))
        .collect();
    rows.extend([
        ssh("an IPv4 header longer than the packet is malformed", |ip| ip.header_words(11), Malformed),
        row("an IPv4 header that ends with the packet leaves no ports")
            .allow("22/tcp")
            .receives(eth().ipv4().options(&[1; 20]).protocol(6), Truncated),
        ssh("a total length of 0 is malformed", |ip| ip.total_len(0), Malformed),
        ssh("a total length below the least header is malformed", |ip| ip.total_len(19), Malformed),
        ssh(
            "a total length below the header with options is malformed",
            |ip| ip.options(&[1; 8]).total_len(27),
            Malformed,
        ),
        ssh("a total length one beyond the frame is malformed", |ip| ip.total_len(41), Malformed),
        ssh("the greatest total length in a small frame is malformed", |ip| ip.total_len(65_535), Malformed),
        ssh("a total length that ends with the frame is allowed", |ip| ip.total_len(40), Allowed),
        row("a frame that lost its last byte is malformed")
            .allow("22/tcp")
            .receives(eth().ipv4().tcp(40_000, 22).syn().cut(53), Malformed),
        row("an ICMP packet longer than its frame is malformed").receives(eth().ipv4().icmp(8, 0).cut(40), Malformed),
    ]);
    rows
}

fn inside_total_length() -> Vec<Row> {
    let udp = || eth().ipv4().udp(40_000, 53);
    vec![
        row("padding behind a SYN to an allowed port makes no difference")
            .allow("22/tcp")
            .receives(eth().ipv4().tcp(40_000, 22).syn().trailer(&[0; 6]), Allowed)
            .under(Tcp, 22),
        row("padding behind a SYN to a closed port makes no difference")
            .allow("22/tcp")
            .receives(eth().ipv4().tcp(40_000, 23).syn().trailer(&[0, 22, 0, 22, 0, 22]), ClosedPort)
            .under(Tcp, 23),
        row("a UDP datagram padded to the least frame is judged by its ports")
            .allow("53/udp")
            .receives(udp().trailer(&[0; 18]), Allowed)
            .under(Udp, 53),
        row("ports behind the total length are padding, not ports")
            .allow("53/udp")
            .receives(eth().ipv4().protocol(17).trailer(&[0x9c, 0x40, 0, 53, 0, 8, 0, 0]), Truncated),
        row("ports half behind the total length are not ports")
            .allow("53/udp")
            .receives(eth().ipv4().total_len(23).udp(40_000, 53), Truncated),
        row("a total length that just covers the ports covers them")
            .allow("53/udp")
            .receives(eth().ipv4().total_len(24).udp(40_000, 53), Allowed)
            .under(Udp, 53),
        row("TCP flags behind the total length are not flags")
            .allow("22/tcp")
            .receives(eth().ipv4().total_len(33).tcp(40_000, 22).syn(), Truncated),
    ]
}

/// Options that look like ports where a reader that forgets the IHL would look: NOP, NOP, end of list, then a byte that nobody reads.
fn decoy(port: u8) -> [u8; 4] {
    [1, 1, 0, port]
}

fn ports_behind_options() -> Vec<Row> {
    let allowed = |name: &str, options: &[u8]| ssh(name, |ip| ip.options(options), Allowed);
    let closed = |name: &str, options: &[u8]| {
        row(name)
            .allow("22/tcp")
            .receives(eth().ipv4().options(options).tcp(40_000, 23).syn(), ClosedPort)
            .under(Tcp, 23)
    };
    vec![
        allowed("options that look like a closed port do not close", &decoy(23)),
        closed("options that look like an allowed port do not open", &decoy(22)),
        allowed("an allowed port behind forty bytes of options is allowed", &[1; 40]),
        closed("a closed port behind forty bytes of options is closed", &[1; 40]),
        allowed("record route is no source route", &[7, 7, 4, 0, 0, 0, 0]),
        closed("a closed port behind record route is closed", &[7, 7, 4, 0, 0, 0, 0]),
        allowed("a timestamp option makes no difference", &[68, 8, 5, 0, 0, 0, 0, 0]),
        allowed("router alert makes no difference", &[148, 4, 0, 0]),
        allowed("an option that nobody knows makes no difference", &[0x9e, 4, 0, 0]),
        row("UDP behind options is judged by its ports")
            .allow("53/udp")
            .receives(eth().ipv4().options(&decoy(53)).udp(40_000, 54), ClosedPort)
            .under(Udp, 54),
        row("two no-operations may end a frame that carries nothing")
            .receives(eth().ipv4().options(&[0xc8, 2, 1, 1]).protocol(1), Protocol),
        row("IGMP with router alert passes")
            .receives(eth().ipv4().to("224.0.0.22").options(&[148, 4, 0, 0]).igmp(0x16, [239, 1, 2, 3]), Protocol),
    ]
}

fn source_routes() -> Vec<Row> {
    let route = |kind: u8| [kind, 7, 4, 192, 0, 2, 1];
    let drops = |name: &str, options: &[u8]| ssh(name, |ip| ip.options(options), SourceRoute);
    let passes = |name: &str, options: &[u8]| ssh(name, |ip| ip.options(options), Allowed);
    vec![
        drops("a loose source route drops", &route(131)),
        drops("a strict source route drops", &route(137)),
        drops("a source route behind NOPs drops", &[&[1, 1, 1], &route(131)[..]].concat()),
        drops("a source route behind another option drops", &[&[148, 4, 0, 0], &route(137)[..]].concat()),
        drops("a source route behind 32 NOPs drops", &[&[1; 32], &route(131)[..]].concat()),
        drops("a source route whose pointer is past its end drops", &[131, 3, 4, 0]),
        passes("a source route behind the end of the list is none", &[&[1, 0], &route(131)[..]].concat()),
        passes("a source route inside another option's data is none", &[148, 10, 1, 131, 7, 4, 192, 0, 2, 1]),
        passes("the option before loose source route is none", &[130, 4, 0, 0]),
        passes("the option after strict source route is none", &[138, 4, 0, 0]),
        passes("loose source route without the copied flag is another option", &[3, 4, 0, 0]),
        row("a source route to a closed port is counted as one")
            .receives(eth().ipv4().options(&route(131)).tcp(40_000, 23).syn(), SourceRoute),
        row("ICMP with a source route drops").receives(eth().ipv4().options(&route(131)).icmp(8, 0), SourceRoute),
        row("a later fragment with a source route drops")
            .receives(eth().ipv4().options(&route(137)).fragment_offset(3).raw(17, &[0; 8]), SourceRoute),
    ]
}

/// Linux refuses such lists, and what Linux refuses cannot be judged otherwise here.
fn bad_options() -> Vec<Row> {
    [
        ("an option of length 0 is malformed", &[7, 0, 0, 0][..]),
        ("an option of length 1 is malformed", &[7, 1, 0, 0]),
        ("an option longer than the list is malformed", &[7, 5, 4, 0]),
        ("an option without a length at the end of the list is malformed", &[1, 1, 1, 7]),
        ("an option of the greatest length is malformed", &[1, 7, 255, 0]),
    ]
    .into_iter()
    .map(|(name, options)| ssh(name, |ip| ip.options(options), Malformed))
    .collect()
}

/// A change to a header.
type Change = fn(Stack<Ipv4>) -> Stack<Ipv4>;

fn no_difference() -> Vec<Row> {
    let with: [(&str, Change); 9] = [
        ("the evil bit", Stack::<Ipv4>::evil),
        ("don't fragment", Stack::<Ipv4>::dont_fragment),
        ("don't fragment and the evil bit", |ip| ip.dont_fragment().evil()),
        ("a TTL of 0", |ip| ip.ttl(0)),
        ("a TTL of 1", |ip| ip.ttl(1)),
        ("a TTL of 255", |ip| ip.ttl(255)),
        ("every bit of the ToS", |ip| ip.tos(0xff)),
        ("congestion experienced", |ip| ip.tos(3)),
        ("a wrong header checksum", Stack::<Ipv4>::bad_checksum),
    ];
    let mut rows = Vec::new();
    for (name, change) in with {
        rows.push(ssh(&format!("{name} keeps no allowed port shut"), change, Allowed));
        rows.push(
            row(format!("{name} opens no closed port"))
                .allow("22/tcp")
                .receives(change(eth().ipv4()).tcp(40_000, 23).syn(), ClosedPort)
                .under(Tcp, 23),
        );
    }
    rows.push(
        row("a UDP checksum of 0 keeps no allowed port shut")
            .allow("53/udp")
            .receives(eth().ipv4().udp(40_000, 53).no_checksum(), Allowed)
            .under(Udp, 53),
    );
    rows.push(
        row("a UDP checksum of 0 opens no closed port")
            .allow("53/udp")
            .receives(eth().ipv4().udp(40_000, 54).no_checksum(), ClosedPort)
            .under(Udp, 54),
    );
    rows
}
