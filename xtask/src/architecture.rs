//! The architectures to build for, and their compilers.

use anyhow::{Context as _, Result};

use crate::{
    debian::{self, Tool},
    toolchain,
};

/// One of them, under the names that it goes by.
#[derive(Clone, Copy)]
pub struct Architecture {
    /// In Debian.
    pub debian: &'static str,
    /// To the Rust compiler.
    pub rust: &'static str,
    compiler: Tool,
    library: Tool,
}

/// All that there are packages for.
pub const ALL: [Architecture; 3] = [
    Architecture {
        debian: "amd64",
        rust: "x86_64-unknown-linux-gnu",
        compiler: debian::GCC_AMD64,
        library: debian::LIBC_AMD64,
    },
    Architecture {
        debian: "arm64",
        rust: "aarch64-unknown-linux-gnu",
        compiler: debian::GCC_ARM64,
        library: debian::LIBC_ARM64,
    },
    // 32-bit programs on a 64-bit kernel, as Raspberry Pi OS (32-bit) runs on everything since the Pi 3.
    Architecture {
        debian: "armhf",
        rust: "armv7-unknown-linux-gnueabihf",
        compiler: debian::GCC_ARMHF,
        library: debian::LIBC_ARMHF,
    },
];

/// The one that Debian calls so.
pub fn of_debian(name: &str) -> Result<Architecture> {
    ALL.into_iter().find(|known| known.debian == name).with_context(|| format!("unknown architecture: {name}"))
}

/// The cross compilers for all architectures but this machine's own.
pub fn foreign_tools() -> Result<Vec<Tool>> {
    let host = toolchain::host()?;
    Ok(ALL.iter().filter(|architecture| architecture.rust != host).flat_map(Architecture::tools).collect())
}

impl Architecture {
    /// The packages that a machine of another architecture needs to build for this one.
    #[must_use]
    pub const fn tools(&self) -> [Tool; 2] {
        [self.compiler, self.library]
    }

    /// The linker, where it is not the machine's own.
    #[must_use]
    pub fn linker(&self, host: &str) -> Option<&'static str> {
        (self.rust != host).then_some(self.compiler.program)
    }

    /// Why it cannot be built for, and what to do about it.
    #[must_use]
    pub fn obstacle(&self, host: &str) -> Option<String> {
        let missing = self.tools().into_iter().filter(|tool| self.rust != host && !tool.is_there());
        let packages: Vec<&str> = missing.map(|tool| tool.package).collect();
        (!packages.is_empty())
            .then(|| format!("this machine has no compiler for it; sudo apt install {}", packages.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let absent = |package| Tool { program: "no-such-compiler", package };
        let other = Architecture {
            debian: "pdp11",
            rust: "pdp11-unknown-linux-gnu",
            compiler: absent("gcc-pdp11"),
            library: absent("libc-pdp11"),
        };
        let obstacle = other.obstacle("x86_64-unknown-linux-gnu").expect("there is no such compiler");
        assert!(obstacle.ends_with("sudo apt install gcc-pdp11 libc-pdp11"), "{obstacle}");
        assert_eq!(other.obstacle(other.rust), None, "the machine's own compiler does");
    }
}
