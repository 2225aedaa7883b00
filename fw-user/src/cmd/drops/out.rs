//! The output of drops: lines for people, JSON, or a file of packets.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use fw_common::record::CAPTURED;

use crate::{
    cmd::drops::{
        args::DropsArgs,
        report::{self, Columns, Entry, MissingJson},
    },
    error::{Error, HostError, Result, UsageError},
    host::output_file,
    output::{has_reader, json, print},
    packet::{headers::Seen, pcapng},
};

/// The form of the output.
pub(crate) struct Out {
    form: Form,
    /// Lines that are not printed yet.
    text: String,
    /// Whether nobody reads it any more.
    is_closed: bool,
    /// The output is filtered, and the count of omitted drops is not.
    is_chosen: bool,
}

enum Form {
    Lines(Columns),
    Json,
    Packets(Box<Packets>),
}

struct Packets {
    file: PathBuf,
    writer: pcapng::Writer<BufWriter<Box<dyn Write>>>,
    count: u64,
    /// By interface.
    left_out: Vec<(String, u64)>,
}

impl Out {
    pub(crate) fn open<'a>(
        args: &DropsArgs,
        interfaces: impl Iterator<Item = (&'a str, bool)> + Clone,
    ) -> Result<Self> {
        let mut text = String::new();
        let form = match &args.pcap {
            Some(file) => Form::Packets(Box::new(Packets::create(file, interfaces)?)),
            None if args.json => Form::Json,
            None => {
                let mut columns = Columns::new();
                text = columns.head();
                Form::Lines(columns)
            }
        };
        let is_chosen = !(args.port.is_empty() && args.source.is_empty() && args.reason.is_empty());
        let mut out = Self { form, text, is_closed: false, is_chosen };
        out.flush()?;
        Ok(out)
    }

    /// Whether nobody reads it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Write a drop of the interface with this number.
    pub(crate) fn drop(&mut self, interface: u32, entry: &Entry<'_>) -> Result<()> {
        match &mut self.form {
            Form::Lines(columns) => self.text += &columns.drop(entry),
            Form::Json => self.text += &json(&report::DropJson::new(entry))?,
            Form::Packets(packets) => {
                packets.count += 1;
                let drop = entry.drop;
                let frame = Seen { bytes: &drop.bytes, len: drop.length as usize, is_bare: drop.is_bare };
                let written = packets.writer.packet(interface, entry.drop.at, &frame, &report::comment(entry));
                self.check(written)?;
            }
        }
        Ok(())
    }

    /// Report how many more packets an interface has dropped.
    pub(crate) fn left_out(&mut self, interface: &str, count: u64, is_last: bool) -> Result<()> {
        let now = SystemTime::now();
        match &mut self.form {
            Form::Lines(columns) => {
                let what = if is_last { "older drops are not kept" } else { "more were left out" };
                let of = if self.is_chosen { " (of all drops, not only the selected ones)" } else { "" };
                self.text += &columns.note(interface, now, &format!("{count} {what}{of}"));
            }
            Form::Json => self.text += &json(&MissingJson::new(interface, now, count))?,
            Form::Packets(packets) => {
                packets.left_out.iter_mut().filter(|(name, _)| name == interface).for_each(|(_, sum)| *sum += count);
            }
        }
        Ok(())
    }

    /// Report that an interface has lost its filter.
    pub(crate) fn gone(&mut self, interface: &str) {
        if let Form::Lines(columns) = &mut self.form {
            self.text += &columns.note(interface, SystemTime::now(), "the filter was removed");
        }
    }

    /// Write the buffered output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if let Form::Packets(packets) = &mut self.form {
            let flushed = packets.writer.flush();
            return self.check(flushed);
        }
        self.is_closed |= !self.text.is_empty() && !has_reader(&std::mem::take(&mut self.text))?;
        Ok(())
    }

    /// Finish the output.
    pub(crate) fn finish(mut self) -> Result<()> {
        if let Form::Packets(packets) = &mut self.form {
            let finished = packets.finish();
            self.check(finished)?;
        }
        self.flush()?;
        match &self.form {
            Form::Packets(packets) if packets.file != Path::new("-") => {
                print(&format!("{} packets in {}\n", packets.count, packets.file.display()))
            }
            _ => Ok(()),
        }
    }

    fn check(&mut self, written: io::Result<()>) -> Result<()> {
        match (written, &self.form) {
            (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            (Err(source), Form::Packets(packets)) => {
                Err(Error::Host(HostError::File { what: "writing", path: packets.file.clone(), source }))
            }
            (written, _) => Ok(written?),
        }
    }
}

impl Packets {
    fn create<'a>(file: &Path, interfaces: impl Iterator<Item = (&'a str, bool)> + Clone) -> Result<Self> {
        let failed = |source| Error::Host(HostError::File { what: "writing", path: file.to_owned(), source });
        let out: Box<dyn Write> = if file != Path::new("-") {
            Box::new(output_file::create(file).map_err(failed)?)
        } else if io::stdout().is_terminal() {
            let what = "standard output is a terminal; name a file, or: fw-user drops --pcap - | wireshark -k -i -";
            return Err(Error::Usage(UsageError::Usage(what.to_owned())));
        } else {
            Box::new(io::stdout())
        };
        let writer = pcapng::Writer::new(BufWriter::new(out), interfaces.clone(), CAPTURED).map_err(failed)?;
        let left_out = interfaces.map(|(name, _)| (name.to_owned(), 0)).collect();
        Ok(Self { file: file.to_owned(), writer, count: 0, left_out })
    }

    fn finish(&mut self) -> io::Result<()> {
        for (number, (_, left_out)) in (0..).zip(&self.left_out) {
            self.writer.left_out(number, SystemTime::now(), *left_out)?;
        }
        Ok(())
    }
}
