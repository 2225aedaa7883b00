//! `fw-user explain`: runs the attached program on a packet and prints the verdict.

pub(crate) mod args;
pub(crate) mod onward;
pub(crate) mod report;
pub(crate) mod target;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use fw_common::protocol::number;
use ipnet::IpNet;

use crate::{
    bans::{ledger::Ledger, moment::Moment, store},
    cmd::{
        explain::{
            args::ExplainArgs,
            onward::Onward,
            report::{Answer, FilterFacts},
        },
        receiver::Receivers,
        select::attached,
    },
    error::{Error, HostError, KernelError, Result, UsageError, capture::CaptureError},
    host::{
        interface::{self, Interface},
        network::Network,
        privilege,
    },
    kernel::{
        attach::state::{self, State},
        clock,
        dry_run::{DryRun, LARGEST_FRAME, LEAST_FRAME},
        maps::policy_map::PolicyMap,
        meta::{AttachmentRecord, Egress},
        pins::Pins,
    },
    output::{has_reader, json, print},
    packet::{
        build::{self, PacketTarget},
        capture::Capture,
        headers::{Headers, Seen},
    },
};

pub(crate) async fn run(pins: &Pins, args: &ExplainArgs) -> Result<()> {
    let targets = args.target.as_deref().map(target::targets).transpose()?.unwrap_or_default();
    let frame = args.hex.as_deref().map(frame_of_digits).transpose()?;
    let file = args.pcap.as_deref().map(open).transpose()?;
    privilege::check()?;
    // Hold the lock only while pins are opened. Reading a file of packets may take longer than other commands wait.
    let lock = pins.lock()?;
    let names = attached(pins, args.interface.as_slice())?;
    let name = match names.as_slice() {
        [name] => name,
        _ => by_route(args, &names)?.ok_or_else(|| {
            Error::Usage(UsageError::WhichInterface { there: names.join(" and "), example: names[0].clone() })
        })?,
    };
    let interface = interface::named(std::slice::from_ref(name))?.remove(0);
    let dry_run = ask_for(pins, &interface)?;
    let mut filter = examine(pins, &interface, &dry_run)?;
    let (ledger, now) = match store::read(pins) {
        Ok(read) => read,
        Err(error) => {
            filter.notes.push(error.to_string());
            (Ledger::default(), Moment::now()?)
        }
    };
    drop(lock);
    let mut ask = Asking {
        filter: &filter,
        dry_run,
        receivers: Receivers::default(),
        onward: Onward::from(interface.clone()),
        ledger,
        now,
        as_json: args.json,
    };
    if let Some((file, name)) = file {
        return ask.of_file(file, &name).await;
    }
    if let Some(frame) = frame {
        return ask.of_frame(&frame, true, Vec::new()).await;
    }
    for target in targets {
        let Ends { from, to, note } = ends(target, args, &interface)?;
        let mut frame = build::frame(target, from, to);
        if ask.dry_run.is_bare() {
            frame.drain(..LEAST_FRAME);
        }
        ask.of_frame(&frame, args.from.is_some(), note.into_iter().collect()).await?;
    }
    Ok(())
}

/// The filtered interface of the route to the sender; without a sender, the one of the default route.
fn by_route<'a>(args: &ExplainArgs, names: &'a [String]) -> Result<Option<&'a String>> {
    if args.target.is_none() {
        return Ok(None);
    }
    let network = Network::ask()?;
    let index = match args.from {
        Some(from) => Network::route_to(from.ip()),
        None => network.default_routes.iter().copied().next().filter(|_| network.default_routes.len() == 1),
    };
    Ok(names.iter().find(|name| index.is_some() && network.index(name) == index))
}

fn ask_for(pins: &Pins, interface: &Interface) -> Result<DryRun> {
    let name = &interface.name;
    match state::of(pins, name, Some(interface))? {
        State::Ours => DryRun::load(pins, interface),
        state => Err(Error::Kernel(KernelError::NotAtWork {
            name: name.clone(),
            state: state.words(),
            fix: state.fix(name).unwrap_or_else(|| format!("`fw-user attach {name} --allow PORTS` attaches")),
        })),
    }
}

fn examine(pins: &Pins, interface: &Interface, dry_run: &DryRun) -> Result<FilterFacts> {
    let name = &interface.name;
    let map = PolicyMap::open(pins, name)?;
    let in_force = map.in_force()?;
    let record = AttachmentRecord::read(pins, name)?;
    let mut notes = Vec::new();
    if let Some(left) = clock::left(in_force)? {
        notes.push(format!("the last change reverts in {} s unless you run `fw-user confirm`", left.as_secs()));
    }
    if !dry_run.knows_interface() {
        notes.push(format!(
            "before Linux 5.14 the kernel cannot assign a test packet to {name}: a packet that would be `forwarded` may be shown as `allowed`"
        ));
    }
    Ok(FilterFacts {
        is_one_of_several: pins.interfaces()?.len() > 1,
        policy: map.read()?,
        monitors: in_force.monitors(),
        tracks_replies: record.egress != Egress::None,
        notes,
        name: name.clone(),
    })
}

/// The filters to ask, and the form of the answers.
struct Asking<'a> {
    filter: &'a FilterFacts,
    dry_run: DryRun,
    receivers: Receivers,
    onward: Onward,
    ledger: Ledger,
    now: Moment,
    as_json: bool,
}

impl Asking<'_> {
    fn banning(&self, headers: &Headers) -> BTreeSet<IpNet> {
        headers.source.map(|sender| self.ledger.banning(sender, &self.now)).unwrap_or_default()
    }

    async fn of_frame(&mut self, frame: &[u8], is_sender_meant: bool, mut notes: Vec<String>) -> Result<()> {
        if let Some(why) = self.dry_run.cannot_judge(frame, frame.len()) {
            return Err(Error::Usage(UsageError::Usage(why)));
        }
        let judgement = self.dry_run.judge(frame)?;
        let headers = Headers::of(&Seen { bytes: frame, len: frame.len(), is_bare: self.dry_run.is_bare() });
        if let Some(age) = judgement.answered_after {
            notes.push(format!("it answers a flow that was last seen {} s ago", age.as_secs()));
        }
        let answer = Answer {
            filter: self.filter,
            number: None,
            target: self.receivers.who(&headers).await,
            onward: headers.destination.and_then(|to| self.onward.network(to, judgement.reason)),
            bans: self.banning(&headers),
            headers,
            len: frame.len(),
            judgement: Ok(judgement),
            is_sender_meant,
            notes,
        };
        print(&if self.as_json { json(&report::ExplainJson::new(&answer))? } else { report::text(&answer) })
    }

    async fn of_file(&mut self, file: Box<dyn Read>, name: &str) -> Result<()> {
        let failed = |source: CaptureError| Error::Host(HostError::Capture { file: name.to_owned(), source });
        let mut capture = Capture::open(file).map_err(failed)?;
        if !self.as_json {
            self.filter.notes.iter().try_for_each(|note| print(&format!("note: {note}\n")))?;
        }
        let mut number = 0;
        while let Some(mut frame) = capture.next_frame().map_err(failed)? {
            number += 1;
            let mut notes = Vec::new();
            if frame.bytes.len() < frame.len {
                notes.push(format!(
                    "the file has {} of its {} bytes; the rest counts as zeros",
                    frame.bytes.len(),
                    frame.len
                ));
            }
            let headers = Headers::of(&Seen { bytes: &frame.bytes, len: frame.len, is_bare: frame.is_bare });
            let judgement = if frame.is_bare == self.dry_run.is_bare() {
                if let Some(why) = self.dry_run.cannot_judge(&frame.bytes, frame.len) {
                    Err(why)
                } else {
                    frame.bytes.resize(frame.len, 0);
                    Ok(self.dry_run.judge(&frame.bytes)?)
                }
            } else if frame.is_bare {
                Err(format!("it has no Ethernet header, but packets on {} have one", self.filter.name))
            } else {
                Err(format!("it has an Ethernet header, but packets on {} have none", self.filter.name))
            };
            let answer = Answer {
                filter: self.filter,
                number: Some(number),
                target: self.receivers.who(&headers).await,
                onward: match (&judgement, headers.destination) {
                    (Ok(judgement), Some(to)) if self.as_json => self.onward.network(to, judgement.reason),
                    _ => None,
                },
                bans: self.banning(&headers),
                headers,
                len: frame.len,
                judgement,
                is_sender_meant: true,
                notes,
            };
            if !has_reader(&if self.as_json {
                json(&report::ExplainJson::new(&answer))?
            } else {
                report::line(&answer)
            })? {
                return Ok(());
            }
        }
        if number == 0 && !self.as_json {
            print("no packet in this file\n")?;
        }
        Ok(())
    }
}

/// The file of packets, and its name for messages.
fn open(path: &Path) -> Result<(Box<dyn Read>, String)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), "standard input".to_owned()));
    }
    let file = File::open(path)
        .map_err(|source| Error::Host(HostError::File { what: "opening", path: path.to_owned(), source }))?;
    Ok((Box::new(file), path.display().to_string()))
}

/// The most that is read when standard input is a frame: even the largest frame needs much less.
const MOST_DIGITS: u64 = 1 << 16;

/// A frame in hexadecimal digits, with any spaces or colons between them.
fn frame_of_digits(text: &str) -> Result<Vec<u8>> {
    let mut text = text.to_owned();
    if text == "-" {
        text.clear();
        io::stdin().take(MOST_DIGITS).read_to_string(&mut text).map_err(|source| {
            Error::Host(HostError::File { what: "reading", path: "standard input".into(), source })
        })?;
    }
    let digits: String = text.chars().filter(|character| !character.is_whitespace() && *character != ':').collect();
    let frame = hex::decode(&digits).map_err(|error| Error::Usage(UsageError::Usage(format!("--hex: {error}"))))?;
    if (LEAST_FRAME..=LARGEST_FRAME).contains(&frame.len()) {
        return Ok(frame);
    }
    Err(Error::Usage(UsageError::Usage(format!(
        "--hex: {} bytes; a frame has at least {LEAST_FRAME}, its Ethernet header, and the kernel can test at most {LARGEST_FRAME}",
        frame.len()
    ))))
}

/// The sender and the receiver of a packet.
struct Ends {
    from: SocketAddr,
    to: IpAddr,
    /// A note on what the command line left open.
    note: Option<String>,
}

/// Documentation addresses (RFC 5737, RFC 3849), for a sender if the network has no other address.
const ANYBODY4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const ANYBODY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

fn ends(target: PacketTarget, args: &ExplainArgs, interface: &Interface) -> Result<Ends> {
    let addresses = interface::addresses()?;
    let of = |index: u32| addresses.iter().filter(move |(at, _)| *at == index).map(|(_, net)| *net);
    let mut own: Vec<IpNet> = of(interface.index).collect();
    if own.is_empty() {
        // If the interface is a port of a bridge or bond, that one has the addresses.
        own = interface.master.into_iter().flat_map(of).collect();
    }
    let is_v4 = match (args.from, args.to, target) {
        (Some(from), Some(to), _) if from.is_ipv4() != to.is_ipv4() => {
            return Err(Error::Usage(UsageError::Usage(format!(
                "--from {} and --to {to} must both be IPv4 or both IPv6",
                from.ip()
            ))));
        }
        (Some(from), ..) => from.is_ipv4(),
        (_, Some(to), _) => to.is_ipv4(),
        (.., PacketTarget::Protocol(number::ICMPV6)) => false,
        (.., PacketTarget::Protocol(number::ICMP | number::IGMP)) => true,
        _ => own.is_empty() || own.iter().any(|net| net.addr().is_ipv4()),
    };
    own.retain(|net| net.addr().is_ipv4() == is_v4);
    own.sort_by_key(|net| {
        let is_near = args.from.is_some_and(|from| net.contains(&from.ip()));
        (!is_near, matches!(net.addr(), IpAddr::V6(address) if address.is_unicast_link_local()))
    });
    let Some(to) = args.to.or(own.first().map(IpNet::addr)) else {
        let family = if is_v4 { "IPv4" } else { "IPv6" };
        return Err(Error::Usage(UsageError::Usage(format!(
            "{} has no {family} address; say which one the packet is for: --to ADDRESS",
            interface.name
        ))));
    };
    if let Some(from) = args.from {
        return Ok(Ends { from, to, note: None });
    }
    let neighbour = own.iter().find(|net| net.contains(&to)).or(own.first()).and_then(neighbour);
    let from = neighbour.unwrap_or(if is_v4 { ANYBODY4 } else { ANYBODY6 });
    let what = if neighbour.is_some() { "an address of its network" } else { "any address" };
    let note = Some(format!("from {from}, {what}; --from names another sender"));
    Ok(Ends { from: SocketAddr::new(from, build::EPHEMERAL), to, note })
}

/// Another address of a network.
fn neighbour(own: &IpNet) -> Option<IpAddr> {
    own.hosts().find(|address| *address != own.addr() && *address != own.network())
}
