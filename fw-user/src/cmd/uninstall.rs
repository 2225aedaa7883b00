//! `fw-user uninstall`: removes filters, services, units, rules and files; files that the owner wrote and the bans only after a yes.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    bans::store,
    cmd::{boot::service::check_is_root, detach},
    error::{Error, HostError, Result},
    host::{
        output_file, privilege, processes,
        systemd::{self, files, leftovers},
    },
    kernel::pins::Pins,
    output::{complain, print},
};

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Delete your configuration files and edited units too, without asking.
    #[arg(long)]
    pub yes: bool,
}

pub(crate) fn run(pins: &Pins, folder: &Path, args: &UninstallArgs) -> Result<()> {
    privilege::check()?;
    check_is_root()?;
    let mut owned = owned(folder)?;
    let ledger = pins.state().map(|state| state.join(store::FILE));
    owned.extend(ledger.filter(|path| path.exists()));
    // Asked before anything changes: Ctrl-C leaves everything as it is.
    let deletes = !owned.is_empty() && (args.yes || ask(&owned)?);
    leftovers::ours_alone()
        .iter()
        .chain(owned.iter().filter(|_| deletes))
        .try_for_each(|path| output_file::check(path))?;
    // Remove services first, so that no filter returns, and without the lock, which their own command takes.
    if systemd::is_booted() {
        systemd::stop_all()?;
    }
    let taken = detach::take_off(pins, true, |all| Ok(all.to_vec()))?;
    let stopped = "stopped the boot service, and took the filters off";
    taken.tell(false)?;
    let mut removed = {
        let _lock = pins.lock()?;
        leftovers::remove().map_err(|error| error.after(stopped))?
    };
    if deletes {
        for path in &owned {
            remove(path).map_err(|error| error.after(stopped))?;
            removed.push(path.clone());
        }
        // Only when nothing else is in there.
        let _kept = fs::remove_dir(folder);
        let _kept = pins.state().map(fs::remove_dir);
    }
    tell(&removed, if deletes { &[] } else { &owned }).map_err(|error| error.after(stopped))
}

/// Configuration files, and units and rules that somebody edited.
fn owned(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut owned = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => owned.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            path.extension().is_some_and(|extension| extension == "toml")
                || path.file_name().is_some_and(|name| name == "off")
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Host(HostError::File { what: "reading", path: folder.to_owned(), source })),
    }
    owned.extend(leftovers::edited());
    owned.sort_unstable();
    Ok(owned)
}

/// Without a terminal the answer is no.
fn ask(owned: &[PathBuf]) -> Result<bool> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Ok(false);
    }
    let list = owned.iter().fold(String::new(), |list, path| list + &format!("  {}\n", path.display()));
    print(&format!("These files are yours:\n{list}Delete them as well? [y/N] "))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|source| Error::Host(HostError::File { what: "removing", path: path.to_owned(), source }))
}

fn tell(removed: &[PathBuf], kept: &[PathBuf]) -> Result<()> {
    for path in removed {
        print(&format!("removed  {}\n", path.display()))?;
    }
    for path in kept {
        print(&format!("kept     {}\n", path.display()))?;
    }
    if !kept.is_empty() {
        print("  fw-user uninstall --yes deletes the files it kept\n")?;
    }
    for pid in processes::siblings("run") {
        complain(&format!(
            "note: fw-user run (process {pid}) attaches its filters again; end it: kill {pid}, or systemctl stop its unit"
        ));
    }
    if Path::new(files::PACKAGED).join(files::TEMPLATE).exists() {
        return print("the package is left; apt remove fw-user removes it\n");
    }
    match std::env::current_exe() {
        Ok(program) => print(&format!("the program is left; rm {} removes it\n", program.display())),
        Err(_) => Ok(()),
    }
}
