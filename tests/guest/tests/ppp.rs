//! A real PPP interface, over `PPPoE` on the cable.

use std::{io, net::IpAddr};

use anyhow::Result;
use fw_tests::{
    lab::{Lab, Namespace, ppp::Ppp},
    tests,
};

use crate::tunnel::{self, LAN, PI};

tests! {
    a_ppp_interface_is_filtered_like_a_cable;
}

const SESSION: u16 = 7;

fn set_up(place: &Namespace, peer: &Namespace, addresses: [IpAddr; 2]) -> Result<Ppp> {
    let [v4, v6] = addresses;
    Ppp::new(place, "eth0", peer.mac("eth0")?, SESSION, &[format!("{v4}/24"), format!("{v6}/64 nodad")])
}

/// Linux' `EAFNOSUPPORT`.
const UNKNOWN: i32 = 97;

/// Debian's kernels for x86 clouds are made without it.
fn is_unknown(error: &io::Error) -> bool {
    error.raw_os_error() == Some(UNKNOWN)
}

fn a_ppp_interface_is_filtered_like_a_cable() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let here = match set_up(&lab.pi, &lab.lan, PI) {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(is_unknown) => {
            println!("noted: this kernel has no PPPoE");
            return Ok(());
        }
        here => here?,
    };
    let _there = set_up(&lab.lan, &lab.pi, LAN)?;
    let note = format!("eth0 carries PPPoE, which passes: {} needs a filter of its own", here.name());
    tunnel::is_filtered_like_a_cable(&lab, here.name(), Some(&note))
}
