//! `fw-user drops`: the recorded drops, as lines, JSON or packets.

pub(crate) mod args;
pub(crate) mod filter;
pub(crate) mod out;
pub(crate) mod report;

use std::time::{Duration, Instant};

use fw_common::abi::map;

use crate::{
    cmd::{
        drops::{args::DropsArgs, filter::DropFilter, out::Out, report::Entry},
        locked,
        receiver::Receivers,
        select::attached,
        signals::{Stop, every},
    },
    error::Result,
    host::{interface, privilege},
    kernel::{
        maps::drops::{DropReader, DroppedPacket},
        pinned::inode,
        pins::Pins,
    },
    packet::headers::{Headers, Seen},
};

/// How often the records are read. The kernel keeps the drops of more than a second.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The least time between two reports of omitted drops, and between two checks of whether the filter is still there.
const COUNT_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(pins: &Pins, args: &DropsArgs) -> Result<()> {
    let filter = DropFilter::new(args)?;
    privilege::check()?;
    let mut watched: Vec<Watched> = Vec::new();
    for name in attached(pins, &args.interfaces)? {
        watched.push(Watched::open(pins, name, args.last)?);
    }
    let here = interface::all()?;
    let is_bare = |name: &str| here.iter().any(|one| one.name == name && one.is_bare());
    let mut out = Out::open(args, watched.iter().map(|one| (one.name.as_str(), is_bare(&one.name))))?;
    let mut receivers = Receivers::default();
    if args.last {
        show(&mut watched, &filter, &mut receivers, &mut out).await?;
        return finish(&mut watched, out);
    }
    let mut stop = Stop::listen()?;
    let mut ticks = every(LOOK_EVERY);
    let mut counted = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.wait() => break,
        }
        show(&mut watched, &filter, &mut receivers, &mut out).await?;
        if counted.elapsed() >= COUNT_EVERY {
            counted = Instant::now();
            locked::follow(pins);
            for one in &mut watched {
                one.tell_left_out(&mut out)?;
                one.follow(pins)?;
                one.tell_gone(pins, &mut out);
            }
            out.flush()?;
        }
        if out.is_closed() || watched.iter().all(|one| one.is_gone) {
            break;
        }
    }
    show(&mut watched, &filter, &mut receivers, &mut out).await?;
    finish(&mut watched, out)
}

/// Read the new drops of all interfaces and print them in the order of their time.
async fn show(watched: &mut [Watched], filter: &DropFilter, receivers: &mut Receivers, out: &mut Out) -> Result<()> {
    let mut found = Vec::new();
    for (index, one) in watched.iter_mut().enumerate() {
        found.extend(one.read()?.into_iter().map(|drop| (index, drop)));
    }
    found.sort_by_key(|(_, drop)| drop.at);
    for (index, drop) in &found {
        let headers = Headers::of(&Seen { bytes: &drop.bytes, len: drop.length as usize, is_bare: drop.is_bare });
        if !filter.wants(drop, &headers) {
            continue;
        }
        let target = receivers.who(&headers).await;
        out.drop(*index as u32, &Entry { interface: &watched[*index].name, drop, headers, target })?;
    }
    out.flush()
}

fn finish(watched: &mut [Watched], mut out: Out) -> Result<()> {
    for one in watched {
        one.tell_left_out(&mut out)?;
    }
    out.finish()
}

/// An interface and the drops that were read from it.
struct Watched {
    name: String,
    /// By which the filter's pins are recognised.
    inode: Option<u64>,
    reader: DropReader,
    /// The packets that it had dropped before.
    before: u64,
    /// The packets that it has dropped since, and how many of these were printed or reported as omitted.
    dropped: u64,
    told: u64,
    is_last: bool,
    is_gone: bool,
}

impl Watched {
    fn open(pins: &Pins, name: String, is_last: bool) -> Result<Self> {
        let mut reader = DropReader::open(pins, &name)?;
        let mut before = 0;
        if !is_last {
            // In this order a drop in between is counted, but not printed.
            before = reader.dropped()?;
            reader.skip()?;
        }
        let inode = inode(&pins.map(&name, map::DROPS));
        Ok(Self { name, inode, reader, before, dropped: 0, told: 0, is_last, is_gone: false })
    }

    fn read(&mut self) -> Result<Vec<DroppedPacket>> {
        // A packet is counted before it is recorded. In this order no drop counts as omitted that is printed later.
        self.dropped = self.reader.dropped()?.saturating_sub(self.before);
        let found = self.reader.read()?;
        self.told += found.len() as u64;
        Ok(found)
    }

    fn tell_left_out(&mut self, out: &mut Out) -> Result<()> {
        let left_out = self.dropped.saturating_sub(self.told);
        if left_out > 0 {
            self.told += left_out;
            out.left_out(&self.name, left_out, self.is_last)?;
        }
        Ok(())
    }

    /// Take the new name of the interface, once the pins have it.
    fn follow(&mut self, pins: &Pins) -> Result<()> {
        let is_at = |name: &String| inode(&pins.map(name, map::DROPS)) == self.inode;
        if !self.is_gone && !is_at(&self.name) {
            self.name = pins.interfaces()?.into_iter().find(is_at).unwrap_or_else(|| self.name.clone());
        }
        Ok(())
    }

    fn tell_gone(&mut self, pins: &Pins, out: &mut Out) {
        if !self.is_gone && !pins.ingress_link(&self.name).exists() {
            self.is_gone = true;
            out.gone(&self.name);
        }
    }
}
