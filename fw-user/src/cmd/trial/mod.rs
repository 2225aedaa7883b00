//! Changes on trial, `--confirm SECONDS`: the process that undoes them, and the countdown for people.

pub(crate) mod confirm;

use std::{
    env,
    io::{self, IsTerminal},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use fw_common::active::Active;
use tokio::sync::oneshot;

use crate::{
    cmd::{args::Safeguards, locked::lock},
    error::{Error, Result, SafeguardError},
    kernel::{clock, maps::policy_map::PolicyMap, pins::Pins},
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
        return match trial.state()? {
            TrialState::Waits(left) => print(&notice(&list, left)),
            TrialState::Confirmed => Ok(()),
            TrialState::Ended => Err(Error::Safeguard(SafeguardError::NotConfirmed { names: list })),
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
            _ = ticks.tick() => match trial.state()? {
                TrialState::Waits(left) => {
                    overwrite(&format!("{short}  reverts in {} s ", left.as_secs()))?;
                }
                TrialState::Confirmed => return overwrite(&format!("{short}  confirmed; the change stays\n")),
                TrialState::Ended => {
                    overwrite("")?;
                    let _lock = lock(pins)?;
                    return Err(Error::Safeguard(SafeguardError::NotConfirmed { names: list }));
                }
            },
            // Back to the shell. The clock runs on.
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                return match trial.state()? {
                    TrialState::Waits(left) => print(&format!("\n{}", notice(&list, left))),
                    TrialState::Confirmed | TrialState::Ended => Ok(()),
                };
            }
            read = &mut enter, if enter_is_open => {
                enter_is_open = false;
                if read.is_ok() {
                    let _lock = lock(pins)?;
                    trial.confirm()?;
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
}

/// The changes that wait to be confirmed.
pub(crate) struct Trial {
    /// The interfaces.
    names: Vec<String>,
    /// Their maps, and the value of each at the beginning. They stay open, because a filter that was attached on trial may be gone afterwards.
    maps: Vec<(PolicyMap, Active)>,
}

impl Trial {
    /// The trial to wait for after a change of these interfaces. The caller still holds the lock, so that no other command came in between. With JSON
    /// there is no wait.
    pub(crate) fn begin(pins: &Pins, names: &[String], deadline: Option<u32>, as_json: bool) -> Result<Option<Self>> {
        if deadline.is_none() || names.is_empty() || as_json {
            return Ok(None);
        }
        let open = |name: &String| {
            let map = PolicyMap::open(pins, name)?;
            let active = map.active()?;
            Ok((map, active))
        };
        let maps = names.iter().map(open).collect::<Result<_>>()?;
        Ok(Some(Self { names: names.to_vec(), maps }))
    }

    fn state(&self) -> Result<TrialState> {
        let mut longest = None;
        for (map, begun) in &self.maps {
            let active = map.active()?;
            // Changes may have joined meanwhile; the fallback stays.
            let is_reverted = active.deadline() == 0 && active == begun.fallback() && !begun.ends_detached();
            if active.has_ended(clock::now()?) || is_reverted {
                return Ok(TrialState::Ended);
            }
            longest = longest.max(clock::left(active)?);
        }
        Ok(longest.map_or(TrialState::Confirmed, TrialState::Waits))
    }

    fn confirm(&mut self) -> Result<()> {
        // A change whose time is over has reverted, or is about to.
        match self.state()? {
            TrialState::Waits(_) => self.maps.iter_mut().try_for_each(|(map, _)| map.confirm()),
            TrialState::Confirmed | TrialState::Ended => Ok(()),
        }
    }
}
