//! The kernels that the tests run in.

use anyhow::{Result, bail};

use super::machine::Machine;

/// One of Debian's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// Its name here.
    pub(crate) name: &'static str,
    /// Debian's name of the architecture.
    pub(super) architecture: &'static str,
    /// The suites that have it.
    pub(super) suite: &'static str,
    /// How its version begins.
    pub(super) version: &'static str,
    /// How its package's name ends.
    pub(super) flavour: &'static str,
    /// Whether its type information may be seen.
    pub(super) btf: bool,
    /// Its machine.
    pub(super) machine: Machine,
    /// Parts of the names of the tests that run; all, if there are none.
    pub(super) tests: &'static [&'static str],
    /// Whether it is one of the quick pair.
    quick: bool,
}

impl Kernel {
    /// One that is none of Debian's.
    pub(super) const fn own(architecture: &'static str) -> Self {
        kernel("own", architecture, "", "", "")
    }
}

const fn kernel(
    name: &'static str,
    architecture: &'static str,
    suite: &'static str,
    version: &'static str,
    flavour: &'static str,
) -> Kernel {
    Kernel {
        name,
        architecture,
        suite,
        version,
        flavour,
        btf: true,
        machine: Machine::Ordinary,
        tests: &[],
        quick: false,
    }
}

/// All of them. The oldest is the oldest that is supported; 6.1 is the last of Debian's that notes what leaves by clsact instead of TCX. A
/// Raspberry Pi 5 has pages of 16 KiB and no type information.
pub(crate) const ALL: [Kernel; 13] = [
    Kernel { btf: false, quick: true, ..kernel("arm64-6.12-16k", "arm64", "trixie", "6.12.", "arm64-16k") },
    Kernel { quick: true, ..kernel("amd64-6.1", "amd64", "bookworm", "6.1.", "cloud-amd64") },
    kernel("arm64-5.10", "arm64", "bullseye", "5.10.", "cloud-arm64"),
    kernel("arm64-6.1", "arm64", "bookworm", "6.1.", "cloud-arm64"),
    kernel("arm64-6.12", "arm64", "trixie", "6.12.", "cloud-arm64"),
    kernel("arm64-newest", "arm64", "trixie-backports", "", "cloud-arm64"),
    kernel("arm64-newest-16k", "arm64", "trixie-backports", "", "arm64-16k"),
    Kernel {
        machine: Machine::Versal,
        tests: OF_MACHINES,
        ..kernel("arm64-6.12-versal", "arm64", "trixie", "6.12.", "arm64")
    },
    Kernel {
        machine: Machine::Raspi3b,
        tests: OF_MACHINES,
        ..kernel("arm64-6.12-raspi3b", "arm64", "trixie", "6.12.", "arm64")
    },
    kernel("amd64-5.10", "amd64", "bullseye", "5.10.", "cloud-amd64"),
    kernel("amd64-6.12", "amd64", "trixie", "6.12.", "cloud-amd64"),
    kernel("amd64-newest", "amd64", "trixie-backports", "", "cloud-amd64"),
    Kernel {
        machine: Machine::E1000,
        tests: OF_MACHINES,
        ..kernel("amd64-6.12-e1000", "amd64", "trixie", "6.12.", "amd64")
    },
];

/// The tests of what differs between machines.
const OF_MACHINES: &[&str] = &["cards", "streams"];
/// The tests that say most about a kernel in the least time: that the verifier accepts the programs, that they judge as they should, that
/// the hole is closed on a real network card and on a virtual one, and that devices which not every kernel has are closed as well.
const OF_THE_QUICK: &[&str] = &[
    "programs",
    "cards",
    "every_row_is_judged_as",
    "the_published_port_is_closed",
    "idle_tcp_connections_live_on",
    "a_wireguard_is_filtered",
    "a_ppp_interface_is_filtered",
    "a_bond_is_closed",
    "what_this_machine_decrypts",
    "tc::a_filter_below_a_vlan",
];

/// The name for the quick pair, which runs the most telling tests alone: an old and a new kernel, clsact and TCX, with BTF and without, on
/// either architecture.
const QUICK: &str = "quick";

/// The names for the command line.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    [QUICK].into_iter().chain(ALL.into_iter().map(|kernel| kernel.name))
}

/// Those that are named, all without a name.
pub(crate) fn named(names: &[String]) -> Vec<Kernel> {
    let is_named = |kernel: &Kernel| names.is_empty() || names.iter().any(|name| name == kernel.name);
    let is_quick = |kernel: &Kernel| kernel.quick && names.iter().any(|name| name == QUICK);
    let chosen = |kernel: Kernel| match kernel {
        kernel if is_named(&kernel) => Some(kernel),
        kernel if is_quick(&kernel) => Some(Kernel { tests: OF_THE_QUICK, ..kernel }),
        _ => None,
    };
    ALL.into_iter().filter_map(chosen).collect()
}

/// The version in a package's name, where it is this kernel's: `linux-image-6.12.107+deb13-cloud-arm64`.
fn version<'a>(kernel: &Kernel, package: &'a str) -> Option<&'a str> {
    let version = package.strip_prefix("linux-image-")?.strip_suffix(kernel.flavour)?.strip_suffix('-')?;
    let mut words = version.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let is_number = version.starts_with(|c: char| c.is_ascii_digit());
    // Other flavours end alike, and a package without a whole version leads to one that has it.
    let is_whole = version.split('.').count() > 2 && words.all(|word| ["deb", "bpo", "rc"].contains(&word));
    (is_number && is_whole && version.starts_with(kernel.version)).then_some(version)
}

/// The packages that are this kernel's, the newest first.
pub(super) fn among(kernel: &Kernel, mut packages: Vec<String>) -> Result<Vec<String>> {
    packages.retain(|package| version(kernel, package).is_some());
    packages.sort_by_cached_key(|package| {
        let numbers = package.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
        std::cmp::Reverse(numbers.collect::<Vec<_>>())
    });
    if packages.is_empty() {
        bail!("{} has no kernel {} {}", kernel.suite, kernel.version, kernel.flavour);
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(name: &str, offered: &[&str]) -> Vec<String> {
        let kernel = ALL.into_iter().find(|kernel| kernel.name == name).expect("a kernel");
        among(&kernel, offered.iter().map(|&name| name.to_owned()).collect()).unwrap_or_default()
    }

    #[test]
    fn the_newest_package_of_the_flavour_comes_first() {
        let offered = [
            "linux-image-7.2.9+deb13-arm64-16k",
            "linux-image-7.2.12+deb13-arm64-16k",
            "linux-image-7.2.12+deb13-arm64-16k-dbg",
            "linux-image-7.3.4+deb13-cloud-arm64",
            "linux-image-arm64-16k",
        ];
        let found = packages("arm64-newest-16k", &offered);
        assert_eq!(found, ["linux-image-7.2.12+deb13-arm64-16k", "linux-image-7.2.9+deb13-arm64-16k"]);
    }

    #[test]
    fn versions_are_not_confused() {
        let offered = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.12.9+bpo-cloud-amd64",
        ];
        let found = packages("amd64-6.1", &offered);
        assert_eq!(found, ["linux-image-6.1.0-50-cloud-amd64", "linux-image-6.1.0-9-cloud-amd64"]);
        assert_eq!(packages("amd64-5.10", &offered), [""; 0]);
    }

    #[test]
    fn the_quick_ones_are_one_of_each_architecture() {
        let architectures: Vec<&str> = named(&[QUICK.to_owned()]).iter().map(|kernel| kernel.architecture).collect();
        assert_eq!(architectures, ["arm64", "amd64"]);
        assert!(named(&[QUICK.to_owned()]).iter().all(|kernel| !kernel.tests.is_empty()));
        let both = named(&[QUICK.to_owned(), "amd64-6.1".to_owned()]);
        let all_tests: Vec<&str> =
            both.iter().filter(|kernel| kernel.tests.is_empty()).map(|kernel| kernel.name).collect();
        assert_eq!((both.len(), all_tests), (2, vec!["amd64-6.1"]));
        assert_eq!(named(&["amd64-5.10".to_owned()]).len(), 1);
        assert_eq!(named(&[]).len(), ALL.len());
    }
}
