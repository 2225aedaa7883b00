//! Changes on trial, `--confirm SECONDS`: the process that undoes them, and the countdown for people.

pub(crate) mod confirm;

use std::{
    env,
    io::{self, IsTerminal},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use fw_common::{abi::map, active::Active};
use tokio::sync::oneshot;

use crate::{
    cmd::{args::Safeguards, locked::lock},
    error::{Error, Result, SafeguardError},
    kernel::{clock, maps::policy_map::PolicyMap, pinned::inode, pins::Pins},
    output::{overwrite, print},
};

/// The deadline for a change that is made now.
pub(crate) fn deadline(safeguards: Safeguards) -> Result<Option<u32>> {
    safeguards.confirm.map(clock::after).transpose()
}

/// Before the changes, start the process that waits for their deadline. It ends by itself if there is nothing to undo. If it is killed, the programs
/// in the kernel still revert, and the next command tidies up.
pub(crate) fn watch(pins: &Pins, deadlines: impl Iterator<Item = u32>) -> Result<()> {
    let Some(deadline) = deadlines.max() else { return Ok(()) };
    let program = env::current_exe().map_err(SafeguardError::NoWatcher)?;
    let mut watcher = Command::new(program);
    watcher.arg("--bpffs").arg(pins.bpffs()).args(["rollback", "--at", &deadline.to_string()]);
    // Signals of the terminal do not reach a group of its own, from the first moment on.
    watcher.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    watcher.spawn().map(drop).map_err(|error| SafeguardError::NoWatcher(error).into())
}

/// How often the state of the change is checked.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// After a change: on a terminal, count down until somebody confirms, here or elsewhere, or until it is undone. Otherwise print what to type, and
/// return.
pub(crate) async fn wait(pins: &Pins, trial: Option<Trial>) -> Result<()> {
    let Some(mut trial) = trial else { return Ok(()) };
    let list = trial.names.join(", ");
    // A line that is longer than the screen cannot be overwritten.
    let short = if list.len() <= 20 { list.clone() } else { format!("{} interfaces", trial.names.len()) };
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return match trial.state(pins)? {
            TrialState::Waits(left) => print(&notice(&list, left)),
            TrialState::Confirmed => Ok(()),
            TrialState::Ended => Err(Error::Safeguard(SafeguardError::NotConfirmed { names: list })),
            TrialState::Detached => Err(Error::Safeguard(SafeguardError::DetachedMeanwhile { names: list })),
        };
    }
    print("Open a new session to this machine. If it works: Enter, or `fw-user confirm`.\n")?;
    let (pressed, mut enter) = oneshot::channel();
    // A read cannot be cancelled, so a thread does it, and ends with the process. The end of the input confirms nothing.
    std::thread::spawn(move || match io::stdin().read_line(&mut String::new()) {
        Ok(1..) => pressed.send(()),
        _ => Ok(()),
    });
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut enter_is_open = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => match trial.state(pins)? {
                TrialState::Waits(left) => {
                    overwrite(&format!("{short}  reverts in {} s ", left.as_secs()))?;
                }
                TrialState::Confirmed => return overwrite(&format!("{short}  confirmed; the change stays\n")),
                TrialState::Ended => {
                    overwrite("")?;
                    let _lock = lock(pins)?;
                    return Err(Error::Safeguard(SafeguardError::NotConfirmed { names: list }));
                }
                TrialState::Detached => {
                    overwrite("")?;
                    return Err(Error::Safeguard(SafeguardError::DetachedMeanwhile { names: list }));
                }
            },
            // Back to the shell. The clock runs on.
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                return match trial.state(pins)? {
                    TrialState::Waits(left) => print(&format!("\n{}", notice(&list, left))),
                    TrialState::Confirmed | TrialState::Ended | TrialState::Detached => Ok(()),
                };
            }
            read = &mut enter, if enter_is_open => {
                enter_is_open = false;
                if read.is_ok() {
                    let _lock = lock(pins)?;
                    trial.confirm(pins)?;
                }
            }
        }
    }
}

fn notice(list: &str, left: Duration) -> String {
    format!("{list}  reverts in {} s unless you run `fw-user confirm`\n", left.as_secs())
}

/// The state of changes on trial.
enum TrialState {
    Waits(Duration),
    Confirmed,
    Ended,
    /// All filters were taken off meanwhile.
    Detached,
}

/// The changes that wait to be confirmed.
pub(crate) struct Trial {
    /// The interfaces.
    names: Vec<String>,
    changes: Vec<TrialChange>,
}

/// The change of one interface. The map stays open, because a filter that was attached on trial may be gone afterwards.
struct TrialChange {
    name: String,
    map: PolicyMap,
    /// The map's value at the beginning.
    begun: Active,
    /// By which the map's pin is recognised.
    inode: Option<u64>,
}

impl TrialChange {
    fn open(pins: &Pins, name: &str) -> Result<Self> {
        let map = PolicyMap::open(pins, name)?;
        let begun = map.active()?;
        Ok(Self { name: name.to_owned(), map, begun, inode: inode(&pins.map(name, map::ACTIVE)) })
    }

    /// Whether the filter is still pinned; a command may have moved its pins to a new name of the interface.
    fn is_pinned(&self, pins: &Pins) -> Result<bool> {
        let is_at = |name: &String| inode(&pins.map(name, map::ACTIVE)) == self.inode;
        Ok(is_at(&self.name) || pins.interfaces()?.iter().any(is_at))
    }
}

impl Trial {
    /// The trial to wait for after a change of these interfaces. The caller still holds the lock, so that no other command came in between. With JSON
    /// there is no wait.
    pub(crate) fn begin(pins: &Pins, names: &[String], deadline: Option<u32>, as_json: bool) -> Result<Option<Self>> {
        if deadline.is_none() || names.is_empty() || as_json {
            return Ok(None);
        }
        let changes = names.iter().map(|name| TrialChange::open(pins, name)).collect::<Result<_>>()?;
        Ok(Some(Self { names: names.to_vec(), changes }))
    }

    fn state(&self, pins: &Pins) -> Result<TrialState> {
        match self.glance(pins)? {
            // A rollback detaches before it ends the change, and pins that are moved are gone for a moment: ask again when the lock is free.
            TrialState::Detached => {
                let _lock = lock(pins)?;
                self.glance(pins)
            }
            state => Ok(state),
        }
    }

    fn glance(&self, pins: &Pins) -> Result<TrialState> {
        let mut longest = None;
        let mut is_pinned = false;
        for change in &self.changes {
            let TrialChange { map, begun, .. } = change;
            let active = map.active()?;
            // Changes may have joined meanwhile; the fallback stays.
            let is_reverted = active.deadline() == 0 && active == begun.fallback() && !begun.ends_detached();
            if active.has_ended(clock::now()?) || is_reverted {
                return Ok(TrialState::Ended);
            }
            if change.is_pinned(pins)? {
                is_pinned = true;
                longest = longest.max(clock::left(active)?);
            }
        }
        Ok(match longest {
            _ if !is_pinned => TrialState::Detached,
            Some(left) => TrialState::Waits(left),
            None => TrialState::Confirmed,
        })
    }

    /// The caller holds the lock.
    fn confirm(&mut self, pins: &Pins) -> Result<()> {
        // A change whose time is over has reverted, or is about to.
        match self.glance(pins)? {
            TrialState::Waits(_) => self.changes.iter_mut().try_for_each(|change| change.map.confirm()),
            TrialState::Confirmed | TrialState::Ended | TrialState::Detached => Ok(()),
        }
    }
}
