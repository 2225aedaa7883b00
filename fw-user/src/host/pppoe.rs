//! `PPPoE` sessions (RFC 2516): on an interface their frames are not IP, and their packets arrive at a `ppp` interface.

use std::fs;

/// The interfaces that carry sessions, by name. None if the kernel has no `PPPoE`, or has not loaded it.
pub(crate) fn carriers() -> Vec<String> {
    read(&fs::read_to_string("/proc/thread-self/net/pppoe").unwrap_or_default())
}

/// One line for each session below a heading: `Id Address Device` (`pppoe_seq_show`, drivers/net/ppp/pppoe.c).
fn read(list: &str) -> Vec<String> {
    let device = |line: &str| line.split_whitespace().nth(2).map(ToOwned::to_owned);
    list.lines().skip(1).filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_names_its_interface() {
        let list = "Id       Address              Device\n00000001 02:00:00:00:00:01     eth0\n0000000a 02:00:00:00:00:02   eth1.7\n";
        assert_eq!(read(list), ["eth0", "eth1.7"]);
        for nothing in ["", "Id       Address              Device\n"] {
            assert!(read(nothing).is_empty());
        }
    }
}
