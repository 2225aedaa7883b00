//! A fault at every step by which a command changes something: afterwards the interface is as before or as asked, never between, and
//! the next command works.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::unix::process::ExitStatusExt,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        Lab, PI4,
        client::receives,
        faults::{Fault, Step},
        wait::PATIENCE,
    },
    tests,
};

tests! {
    attach_is_all_or_nothing;
    attach_to_several_interfaces_is_all_or_nothing_each;
    attach_again_is_all_or_nothing;
    changes_of_ports_are_all_or_nothing;
    switching_to_monitor_and_back_is_all_or_nothing;
    rollback_is_all_or_nothing;
    detach_is_all_or_nothing;
    apply_is_all_or_nothing;
    a_file_is_saved_as_a_whole_or_not_at_all;
}

/// Ports that the commands here open and close, and one that they never open.
const DOORS: [u16; 3] = [80, 443, 9125];
/// A port that is always open.
const FENCE: u16 = 22;

/// What listens at the ports.
struct Doors {
    knocker: UdpSocket,
    fence: UdpSocket,
    listeners: Vec<(u16, UdpSocket)>,
}

impl Doors {
    fn new(lab: &Lab) -> Result<Self> {
        let socket = |port| lab.pi.udp_socket(port, PI4);
        Ok(Self {
            knocker: lab.lan.udp_socket(0, PI4)?,
            fence: socket(FENCE)?,
            listeners: DOORS
                .into_iter()
                .map(|port| {
                    let socket = socket(port)?;
                    socket.set_nonblocking(true)?;
                    Ok((port, socket))
                })
                .collect::<Result<_>>()?,
        })
    }

    /// The ports at which something arrives. What is sent last, and always arrives, says when the rest has.
    fn open(&self) -> Result<BTreeSet<u16>> {
        for port in DOORS.into_iter().chain([FENCE]) {
            self.knocker.send_to(b"knock", SocketAddr::new(PI4, port))?;
        }
        ensure!(receives(&self.fence, PATIENCE)?, "port {FENCE} is closed");
        let mut open = BTreeSet::new();
        for (port, socket) in &self.listeners {
            match socket.recv(&mut [0; 16]) {
                Ok(_) => drop(open.insert(*port)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(open)
    }
}

/// A command, what is open before and after it, and the commands that lead up to it.
struct Case<'a> {
    before: &'a [&'a [&'a str]],
    was: &'a [u16],
    command: &'a [&'a str],
    asked: &'a [u16],
}

impl Case<'_> {
    /// Play it with a fault of each kind at each of its steps.
    fn play(&self) -> Result<()> {
        let lab = Lab::without_containers()?;
        lab.pi.open_input()?;
        lab.add_second_lan()?;
        lab.write_file("eth0", "allow = [\"22\", \"443\"]\n")?;
        let doors = Doors::new(&lab)?;
        let (was, asked) = (self.was.iter().copied().collect(), self.asked.iter().copied().collect());
        self.prepare(&lab)?;
        ensure!(doors.open()? == was, "{:?} are open before", doors.open()?);
        let steps = lab.steps(self.command)?;
        ensure!(doors.open()? == asked, "{:?} are open after", doors.open()?);
        lab.fw(&["detach", "--all"])?;
        // What one interface has shown need not be shown once more: of several, the steps that follow.
        let known = if self.command.contains(&"eth1") { steps.len() / 2 } else { 0 };
        let steps = &steps[known..];
        for fault in [Fault::Kill, Fault::Refuse] {
            let mut hit = 0;
            for step in steps {
                self.prepare(&lab)?;
                hit += usize::from(
                    self.play_one(&lab, &doors, (&was, &asked), step, fault)
                        .with_context(|| format!("{:?}, {fault:?} at {step}", self.command))?,
                );
                lab.fw(&["detach", "--all"])?;
                lab.nothing_is_left_behind().with_context(|| format!("{:?}, {fault:?} at {step}", self.command))?;
            }
            // A command gets by without some things, and how often the kernel is asked differs a little from one run to the next.
            let least = if fault == Fault::Kill { steps.len() * 9 / 10 } else { 1 };
            ensure!(hit >= least, "{fault:?} hit {hit} of {} steps", steps.len());
            eprintln!("{:?}: {fault:?} at {} steps, {hit} of them fatal", self.command, steps.len());
        }
        Ok(())
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        self.before.iter().try_for_each(|args| lab.fw(args).map(drop))
    }

    /// Whether the fault was fatal.
    fn play_one(
        &self,
        lab: &Lab,
        doors: &Doors,
        (was, asked): (&BTreeSet<u16>, &BTreeSet<u16>),
        step: &Step,
        fault: Fault,
    ) -> Result<bool> {
        let output = lab.fw_with_fault(self.command, step, fault)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let open = doors.open()?;
        let done = output.status.success();
        match fault {
            Fault::Kill if !done => {
                ensure!(output.status.signal() == Some(9), "ended with {}: {said}", output.status);
                ensure!(open == *was || open == *asked, "{open:?} are open");
            }
            Fault::Refuse if !done => {
                ensure!(output.status.code() == Some(1), "ended with {}: {said}", output.status);
                ensure!(said.starts_with("fw-user: "), "{said}");
                // What could not be taken off to the end may be off all the same.
                ensure!(open == *was || (self.is_detach() && open == *asked), "{open:?} are open, and yet: {said}");
            }
            Fault::Kill | Fault::Refuse => ensure!(open == *asked, "{open:?} are open after success"),
        }
        lab.fw(&["status"])?;
        if open != *asked {
            lab.fw(self.command)?;
        }
        ensure!(doors.open()? == *asked, "{:?} are open after the next command", doors.open()?);
        Ok(!done)
    }

    fn is_detach(&self) -> bool {
        self.command.contains(&"detach")
    }
}

const ATTACH: &[&str] = &["attach", "eth0", "--allow", "22,80"];

fn attach_is_all_or_nothing() -> Result<()> {
    Case { before: &[], was: &DOORS, command: ATTACH, asked: &[80] }.play()
}

fn attach_to_several_interfaces_is_all_or_nothing_each() -> Result<()> {
    Case { before: &[], was: &DOORS, command: &["attach", "eth0", "eth1", "--allow", "22,80"], asked: &[80] }.play()
}

fn attach_again_is_all_or_nothing() -> Result<()> {
    let command = &["attach", "eth0", "--allow", "22,443"];
    Case { before: &[ATTACH], was: &[80], command, asked: &[443] }.play()
}

fn changes_of_ports_are_all_or_nothing() -> Result<()> {
    let both = &["attach", "eth0", "eth1", "--allow", "22,80"][..];
    Case { before: &[both], was: &[80], command: &["allow", "443@192.0.2.0/24"], asked: &[80, 443] }.play()?;
    let deny = &["deny", "80", "--interface", "eth0"];
    Case { before: &[ATTACH, &["allow", "443"]], was: &[80, 443], command: deny, asked: &[443] }.play()
}

fn switching_to_monitor_and_back_is_all_or_nothing() -> Result<()> {
    Case { before: &[ATTACH], was: &[80], command: &["monitor"], asked: &DOORS }.play()?;
    Case { before: &[ATTACH, &["monitor"]], was: &DOORS, command: &["enforce"], asked: &[80] }.play()
}

fn rollback_is_all_or_nothing() -> Result<()> {
    let trial = &["allow", "443", "--confirm", "600"][..];
    Case { before: &[ATTACH, trial], was: &[80, 443], command: &["rollback"], asked: &[80] }.play()
}

fn apply_is_all_or_nothing() -> Result<()> {
    // The lab's file, from nothing and over another policy.
    Case { before: &[], was: &DOORS, command: &["apply"], asked: &[443] }.play()?;
    Case { before: &[ATTACH], was: &[80], command: &["apply", "eth0"], asked: &[443] }.play()
}

/// A power cut is a kill that takes the machine along; that what was written reaches the disk before the name does is fsync's part.
fn a_file_is_saved_as_a_whole_or_not_at_all() -> Result<()> {
    const BEFORE: &str = "# mine\nallow = [\"22\"]\n";
    const AFTER: &str = "# mine\nallow = [\"22\", \"80\"]\n";
    let lab = Lab::without_containers()?;
    lab.fw(ATTACH)?;
    lab.write_file("eth0", BEFORE)?;
    let steps = lab.steps(&["save"])?;
    ensure!(lab.read_file("eth0")? == AFTER, "{}", lab.read_file("eth0")?);
    ensure!(steps.iter().any(|step| step.to_string().contains("rename")), "{steps:?}");
    for fault in [Fault::Kill, Fault::Refuse] {
        for step in &steps {
            lab.write_file("eth0", BEFORE)?;
            let output = lab.fw_with_fault(&["save"], step, fault)?;
            let (file, done) = (lab.read_file("eth0")?, output.status.success());
            ensure!(file == AFTER || (!done && file == BEFORE), "{fault:?} at {step}: {file}");
            lab.fw(&["check"])?;
            lab.fw(&["save"])?;
            ensure!(lab.read_file("eth0")? == AFTER, "{fault:?} at {step}");
        }
    }
    Ok(())
}

fn detach_is_all_or_nothing() -> Result<()> {
    Case { before: &[ATTACH], was: &[80], command: &["detach", "eth0"], asked: &DOORS }.play()
}
