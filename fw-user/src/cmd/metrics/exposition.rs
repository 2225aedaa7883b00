//! The names, and the two text formats: `OpenMetrics` 1.0, and Prometheus' own 0.0.4, which the textfile collector of `node_exporter` reads.

use std::{
    fmt, io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fw_common::{Reason, Verdict, abi::ABI_VERSION};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder, text,
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::{
    cmd::{
        metrics::{
            ports::{self, PortMetrics},
            reading::{FilterMetrics, InterfaceMetrics, Metrics},
        },
        status::report::egress_name,
    },
    config::Applies,
    error::{Error, Result},
    kernel::meta::AttachmentRecord,
};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus 0.0.4.
    Prometheus,
}

impl Format {
    /// Its media type.
    #[must_use]
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A reading as text.
pub(crate) fn encode(reading: Metrics, format: Format) -> Result<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(reading));
    let mut text = String::new();
    text::encode(&mut text, &registry).map_err(|error| Error::Output(io::Error::other(error)))?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Prometheus => as_prometheus(&text),
    })
}

/// The samples are the same in both formats. In the comments, one format names a counter by its family, the other by its samples.
fn as_prometheus(open_metrics: &str) -> String {
    let mut text = String::new();
    let mut lines = open_metrics.lines().filter(|line| *line != "# EOF").peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
        let kind = lines.peek().and_then(|next| next.strip_prefix("# TYPE ")?.split_once(' '));
        if let (Some((name, help)), Some((_, kind))) = (help, kind) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            lines.next();
        } else {
            text += line;
            text.push('\n');
        }
    }
    text
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.about_itself(&mut families)?;
        self.about_interfaces(&mut families)?;
        self.about_packets(&mut families)?;
        self.about_flows(&mut families)?;
        self.about_bans(&mut families)?;
        self.about_files(&mut families)
    }
}

impl Metrics {
    fn about_itself(&self, families: &mut Families<'_>) -> fmt::Result {
        let abi = ABI_VERSION.to_string();
        let build = [("version", AttachmentRecord::VERSION), ("abi", abi.as_str())];
        families.info("fw_build", "The version of fw-user that answers", [([], build)])?;
        let help = "How long it took to read the maps";
        families.lone_gauge("fw_read_duration_seconds", help, self.took.as_secs_f64())
    }

    fn about_interfaces(&self, families: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&InterfaceMetrics) -> bool| {
            self.interfaces.iter().map(move |interface| (of(interface), u32::from(value(interface))))
        };
        let help = "Whether there is an interface of this name, which has a filter or a file";
        families.gauge("fw_interface_present", help, each(|interface| interface.is_present))?;
        let help = "Whether fw-user filters the interface";
        families.gauge("fw_attached", help, each(|interface| interface.is_attached))?;
        let help = "Whether the filter on the interface is this version's and its pins are whole";
        families.gauge("fw_up", help, each(|interface| interface.is_up))?;
        let help = "Programs that see packets before the filter and could pass them all";
        let ahead = self.interfaces.iter().filter(|interface| interface.is_up);
        families.gauge("fw_programs_ahead", help, ahead.map(|interface| (of(interface), interface.ahead)))?;
        let infos = self.filters().map(|(interface, FilterMetrics { record, .. })| {
            let labels = [
                ("mode", record.mode.name()),
                ("egress", egress_name(record.egress)),
                ("version", record.version.as_str()),
            ];
            (of(interface), labels)
        });
        families.info("fw_interface", "How the filter is attached, and the version that attached it last", infos)?;
        let monitors = self.filters().map(|(interface, filter)| (of(interface), u32::from(filter.monitors)));
        families.gauge("fw_monitor", "Whether the filter only counts verdicts and drops nothing", monitors)?;
        let since = self.filters().map(|(interface, filter)| (of(interface), unix_seconds(filter.record.since)));
        families.gauge("fw_attached_timestamp_seconds", "When the filter was attached", since)?;
        let trials = self.filters().filter_map(|(interface, filter)| {
            // The two clocks drift apart by less than what is shown.
            Some((of(interface), unix_seconds(filter.trial_ends? + Duration::from_millis(500)).floor()))
        });
        let help = "When the last change reverts unless it is confirmed; absent if no change waits for that";
        families.gauge("fw_trial_deadline_timestamp_seconds", help, trials)
    }

    fn about_packets(&self, families: &mut Families<'_>) -> fmt::Result {
        let (mut packets, mut bytes, mut ports) = (Vec::new(), Vec::new(), Vec::new());
        for (interface, FilterMetrics { policy, counters, .. }) in self.filters() {
            let labels = |labels: [(&'static str, String); 2]| -> Vec<(&str, String)> {
                [("interface", interface.name.clone())].into_iter().chain(labels).collect()
            };
            // Include reasons that never occurred: a counter that starts with its first event has no rate for that event.
            for reason in Reason::ALL {
                let counter = counters.reasons.get(reason).copied().unwrap_or_default();
                let labels = labels([("verdict", reason.verdict().to_string()), ("reason", reason.name().to_owned())]);
                packets.push((labels.clone(), counter.packets));
                bytes.push((labels, counter.bytes));
            }
            for PortMetrics { protocol, number, counter } in ports::select(policy, counters) {
                let mut add = |verdict: Verdict, count| {
                    let mut labels = labels([("protocol", protocol.name().to_owned()), ("port", number.to_string())]);
                    labels.push(("verdict", verdict.to_string()));
                    ports.push((labels, count));
                };
                add(Verdict::Drop, counter.dropped);
                if counter.passed != 0 || policy.is_open_to_some(protocol, number) {
                    add(Verdict::Pass, counter.passed);
                }
            }
        }
        let help = "Packets by verdict and reason; while fw_monitor is 1, packets counted as dropped have passed";
        families.counter("fw_packets", help, packets)?;
        families.counter("fw_bytes", "Bytes of these packets, Ethernet headers included", bytes)?;
        let help = "Packets by destination port: open ports and the busiest closed ones, replies not included";
        families.counter("fw_port_packets", help, ports)
    }

    fn about_flows(&self, families: &mut Families<'_>) -> fmt::Result {
        if let Some(flows) = self.flows {
            let by_family =
                [("ipv4", flows.ipv4), ("ipv6", flows.ipv6)].map(|(name, count)| ([("family", name)], count));
            families.gauge(
                "fw_flows",
                "Remembered flows, including expired ones that no new flow has replaced yet",
                by_family,
            )?;
        }
        let capacity = self
            .flow_capacity
            .into_iter()
            .flat_map(|capacity| ["ipv4", "ipv6"].map(|name| ([("family", name)], capacity)));
        families.gauge("fw_flows_capacity", "Capacity of the flow tables", capacity)
    }

    fn about_bans(&self, families: &mut Families<'_>) -> fmt::Result {
        let Some(count) = self.bans else { return Ok(()) };
        families.lone_gauge("fw_bans", "Banned networks, of all sets", count)
    }

    fn about_files(&self, families: &mut Families<'_>) -> fmt::Result {
        let help = "Mistakes in the configuration files as they are now; the rules in force are older";
        families.lone_gauge("fw_config_mistakes", help, self.mistakes)?;
        let Some(Applies { is_good, last_success }) = self.applies else { return Ok(()) };
        let help = "Whether the files were applied without a mistake, and every filter in them is active";
        families.lone_gauge("fw_config_last_apply_successful", help, u32::from(is_good))?;
        let (name, help) = ("fw_config_last_apply_success_timestamp_seconds", "When files were applied last");
        families.lone_gauge(name, help, unix_seconds(last_success))
    }

    fn filters(&self) -> impl Iterator<Item = (&InterfaceMetrics, &FilterMetrics)> {
        self.interfaces.iter().filter_map(|interface| Some((interface, interface.filter.as_ref()?)))
    }
}

type Label<'a> = (&'a str, &'a str);

/// The label of nearly every metric.
fn of(interface: &InterfaceMetrics) -> [Label<'_>; 1] {
    [("interface", &interface.name)]
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Writes families of metrics, and leaves those out that have no sample.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family<S>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = S>,
        encode: impl Fn(&mut MetricEncoder<'_>, S) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        samples.try_for_each(|sample| encode(&mut family, sample))
    }

    fn counter<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, samples, |family, (labels, value)| {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)
        })
    }

    fn gauge<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, samples, |family, (labels, value)| {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)
        })
    }

    /// A gauge with a single sample.
    fn lone_gauge<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn info<'l, const N: usize, const M: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([Label<'l>; N], [Label<'l>; M])>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Info, samples, |family, (of, about)| {
            family.encode_family(&of)?.encode_info(&about)
        })
    }
}
