//! Memory of the kernel, counted by a control group, so that nobody else's is in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result, bail};

/// A control group that this process and those that it starts are in, until this is dropped.
pub(super) struct KernelMemory {
    group: PathBuf,
    version: Version,
}

/// The version of the hierarchy that has the controller.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl KernelMemory {
    /// Count from now on.
    pub(super) fn count() -> Result<Self> {
        for (root, file, version) in [
            ("/sys/fs/cgroup/memory", "memory.kmem.usage_in_bytes", Version::One),
            ("/sys/fs/cgroup", "memory.stat", Version::Two),
        ] {
            let group = PathBuf::from(root).join(format!("fw-bench-{}", process::id()));
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let memory = Self { group, version };
            if memory.group.join(file).exists() {
                Self::enter(&memory.group)?;
                return Ok(memory);
            }
        }
        bail!("no control group counts memory; mount a hierarchy with the memory controller at /sys/fs/cgroup")
    }

    /// Megabytes that are taken.
    pub(super) fn now(&self) -> Result<f64> {
        let read = |name| {
            let path = self.group.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let number = match self.version {
            Version::One => read("memory.kmem.usage_in_bytes")?,
            Version::Two => {
                let stat = read("memory.stat")?;
                let kernel = stat.lines().find_map(|line| line.strip_prefix("kernel "));
                kernel.context("memory.stat has no line `kernel`; it has from Linux 5.18 on")?.to_owned()
            }
        };
        Ok(number.trim().parse::<f64>()? / 1e6)
    }

    fn enter(group: &Path) -> Result<()> {
        let path = group.join("cgroup.procs");
        fs::write(&path, process::id().to_string()).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for KernelMemory {
    fn drop(&mut self) {
        let left = self.group.parent().map_or(Ok(()), Self::enter);
        if let Err(error) = left.and_then(|()| Ok(fs::remove_dir(&self.group)?)) {
            eprintln!("cannot remove {}: {error:#}", self.group.display());
        }
    }
}
