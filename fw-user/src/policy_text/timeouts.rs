//! Timeouts of flows, in the form for people: `90s`, `15m`, `2h 4m`.

use std::{ops::RangeInclusive, time::Duration};

use fw_common::flow::Timeouts;

/// The range of a timeout, in seconds. A flow may outlive its timeout by up to 2.6 s, which must not matter, and nobody waits for a datagram longer
/// than a day.
pub(crate) const UDP: RangeInclusive<u32> = 10..=86_400;
/// The same for TCP, with connections that wait for a month.
pub(crate) const TCP: RangeInclusive<u32> = 300..=2_678_400;

/// Read a timeout of UDP, for the command line.
pub(crate) fn parse_udp(text: &str) -> Result<u32, String> {
    parse(text, &UDP)
}

/// Read a timeout in whole seconds.
pub(crate) fn parse(text: &str, bounds: &RangeInclusive<u32>) -> Result<u32, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a time; write a number with its unit, for example 90s, 15m or 2h"))?;
    match u32::try_from(duration.as_secs()) {
        Ok(seconds) if duration.subsec_nanos() == 0 && bounds.contains(&seconds) => Ok(seconds),
        _ => Err(format!(
            "`{text}` is out of range; write a time from {} to {}",
            words(*bounds.start()),
            words(*bounds.end())
        )),
    }
}

/// A timeout in a form that can be read again.
pub(crate) fn words(seconds: u32) -> String {
    // humantime has months of 30.44 days.
    const DAY: u32 = 86_400;
    let rest = humantime::format_duration(Duration::from_secs(u64::from(seconds % DAY)));
    match (seconds / DAY, seconds % DAY) {
        (0, _) => rest.to_string(),
        (days, 0) => format!("{days}d"),
        (days, _) => format!("{days}d {rest}"),
    }
}

/// Timeouts, some of them given. The default for answered UDP flows is the timeout of other UDP flows, but at least three minutes.
pub(crate) fn with(udp: Option<u32>, udp_stream: Option<u32>, tcp: Option<u32>) -> Timeouts {
    let default = Timeouts::DEFAULT;
    let udp = udp.unwrap_or(default.udp);
    Timeouts {
        tcp: tcp.unwrap_or(default.tcp),
        udp,
        udp_stream: udp_stream.unwrap_or(default.udp_stream.max(udp)),
        padding: 0,
    }
}

/// The timeouts that are not the default, in one line; `None` if all are.
pub(crate) fn unusual(timeouts: &Timeouts) -> Option<String> {
    let default = Timeouts::DEFAULT;
    if *timeouts == default {
        return None;
    }
    let mut udp = format!("UDP flows end after {}", words(timeouts.udp));
    if timeouts.udp_stream != timeouts.udp {
        udp += &format!(", answered ones after {}", words(timeouts.udp_stream));
    }
    let tcp = (timeouts.tcp != default.tcp).then(|| format!("TCP flows after {}", words(timeouts.tcp)));
    Some([Some(udp), tcp].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timeout_is_read_as_it_is_written() {
        for seconds in [10, 59, 60, 61, 90, 180, 900, 3600, 7440, 86_400, 90_061, 2_592_000, 2_678_400] {
            assert_eq!(parse(&words(seconds), &(0..=u32::MAX)), Ok(seconds), "{}", words(seconds));
        }
        assert_eq!([180, 7440, 2_678_400].map(words), ["3m", "2h 4m", "31d"]);
    }

    #[test]
    fn times_without_a_unit_or_out_of_bounds_are_refused_with_what_to_write() {
        for text in ["900", "", "m", "15 minutes and a bit", "-1s"] {
            let error = parse(text, &UDP).expect_err(text);
            assert!(error.contains("write a number with its unit"), "{error}");
        }
        for text in ["9s", "1500ms", "10500ms", "86401s", "500000000000s"] {
            assert!(parse(text, &UDP).expect_err(text).contains("write a time from 10s to 1d"), "{text}");
        }
        assert!(parse("1m", &TCP).expect_err("too short").contains("from 5m to 31d"));
    }

    #[test]
    fn answered_datagrams_live_at_least_as_long_as_others() {
        let pair = |timeouts: Timeouts| (timeouts.udp, timeouts.udp_stream);
        assert_eq!(with(None, None, None), Timeouts::DEFAULT);
        assert_eq!(pair(with(Some(900), None, None)), (900, 900));
        assert_eq!(pair(with(Some(30), None, None)), (30, 180));
        assert_eq!(pair(with(Some(30), Some(60), None)), (30, 60));
    }
}
