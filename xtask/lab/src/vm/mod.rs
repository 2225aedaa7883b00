//! The tests in other kernels: each is booted by qemu, without KVM, with nothing but the tests and the few programs that they start.
//!
//! Everything is kept below `target/vm`. A kernel that is there is not looked for again.

mod folders;
mod guest;
mod image;
mod initrd;
pub(crate) mod kernels;
mod machine;
mod programs;
mod source;
mod userland;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;

use self::{guest::Guest, image::Image, kernels::Kernel, programs::Programs, source::Source};
use xtask::debian::{self, Tool};

/// The packages that it needs besides qemu.
pub(crate) const TOOLS: &[Tool] = &[debian::CPIO, debian::KMOD, debian::XZ, debian::ZSTD];

/// A run of the tests in other kernels.
pub(crate) struct Run<'a, R> {
    only: &'a [String],
    read: R,
    guests: BTreeMap<&'static str, (PathBuf, Programs)>,
    /// A failure other than that of a test.
    troubles: Vec<String>,
}

impl<'a, R: FnMut(&str)> Run<'a, R> {
    /// Of those tests whose name contains one of `only`, of all of a kernel's without any. Every line that they say is read by `read`.
    pub(crate) const fn new(only: &'a [String], read: R) -> Self {
        Self { only, read, guests: BTreeMap::new(), troubles: Vec::new() }
    }

    /// In kernels of Debian's, one after the other.
    pub(crate) fn debian(&mut self, kernels: &[Kernel]) -> Result<()> {
        let mut sources: BTreeMap<&str, Source> = BTreeMap::new();
        let mut images = Vec::new();
        // Missing packages are known before anything is built.
        for kernel in kernels {
            let source = sources.entry(kernel.architecture);
            let source = source.or_insert_with(|| Source::new(kernel.architecture, kernels));
            images.push(Image::provide(kernel, source)?);
        }
        for (architecture, source) in &mut sources {
            self.prepare(architecture, source)?;
        }
        kernels.iter().zip(&images).try_for_each(|(kernel, image)| self.boot(kernel, image))
    }

    /// In a kernel of the caller's, which has all it needs built in.
    pub(crate) fn own(&mut self, file: &Path) -> Result<()> {
        let kernel = Kernel::own(image::architecture(file)?);
        self.prepare(kernel.architecture, &mut Source::new(kernel.architecture, &[]))?;
        self.boot(&kernel, &Image::own(file))
    }

    /// A failure other than that of a test.
    pub(crate) fn troubles(self) -> Vec<String> {
        self.troubles
    }

    /// See to what all guests of an architecture have in common.
    fn prepare(&mut self, architecture: &'static str, source: &mut Source) -> Result<()> {
        let userland = userland::provide(architecture, source)?;
        self.guests.insert(architecture, (userland, programs::build(architecture)?));
        Ok(())
    }

    fn boot(&mut self, kernel: &Kernel, image: &Image) -> Result<()> {
        let begin = Instant::now();
        println!("\nkernel {}: {}", kernel.name, image.release);
        let (userland, programs) = &self.guests[kernel.architecture];
        let home = folders::folder(&["kernels", kernel.name])?.join("boot");
        let initrd = initrd::pack(&home, userland, image, programs)?;
        let tests = if self.only.is_empty() { kernel.tests.join(",") } else { self.only.join(",") };
        let mut words = format!("tests={tests}");
        if !kernel.btf {
            words += " btf=hidden";
        }
        if env::var_os("CI").is_some_and(|value| value == "true") {
            words += " CI=true";
        }
        let guest =
            Guest { machine: kernel.machine, architecture: kernel.architecture, image, initrd: &initrd, words: &words };
        let ended = guest.run(&mut self.read)?;
        println!("kernel {}: {:.0} s", kernel.name, begin.elapsed().as_secs_f64());
        if let Err(trouble) = ended {
            self.troubles.push(format!("kernel {}: {trouble}", kernel.name));
        }
        Ok(fs::remove_dir_all(&home)?)
    }
}
