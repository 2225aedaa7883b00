//! A kernel's image and the modules that the tests need of it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{
    folders,
    kernels::{self, Kernel},
    source::Source,
};
use xtask::command;

/// Modules that not every kernel has built in, the drivers of the guest's network cards first; their dependencies are found. A kernel without such a
/// module is no error.
const MODULES: &str = "virtio_pci virtio_mmio virtio_net e1000 macb marvell dwc2 cdc_ether rndis_host phy-generic bcm2835-rng \
    veth dummy bridge macvlan 8021q af_packet ipv6 sch_ingress cls_bpf act_bpf \
    nf_tables nf_conntrack nf_nat nf_conntrack_netlink nft_chain_nat nft_nat nft_masq nft_ct nft_counter nft_objref nft_fib nft_fib_ipv4 \
    nft_fib_ipv6 nft_fib_inet nft_reject_inet nft_limit nft_log nft_redir \
    inet_diag tcp_diag udp_diag sctp_diag sctp dccp_ipv4 \
    bonding ipvlan wireguard pppoe xfrm_user xfrm_interface esp4 esp6 \
    cryptomgr seqiv gcm ctr ghash-generic aes_generic crypto_null hmac sha512_generic jitterentropy_rng drbg";

/// The files that a guest boots.
pub(super) struct Image {
    /// The compressed kernel.
    pub(super) kernel: PathBuf,
    /// Modules in the order in which they can be loaded.
    pub(super) modules: Option<PathBuf>,
    /// Device trees of real machines.
    pub(super) trees: PathBuf,
    /// The version.
    pub(super) release: String,
}

impl Image {
    /// From the folder that keeps it, or downloaded now: the newest one that the mirror really has.
    pub(super) fn provide(kernel: &Kernel, source: &mut Source) -> Result<Self> {
        let home = folders::folder(&["kernels", kernel.name])?;
        let packages = home.join("packages");
        if !packages.exists() {
            let fresh = home.join("unfinished-packages");
            download(kernel, source, &fresh)?;
            fs::rename(&fresh, &packages)?;
        }
        let unpacked = home.join(format!("unpacked-{:016x}", folders::hash(MODULES)));
        if !unpacked.exists() {
            let fresh = home.join("unfinished");
            folders::empty(&fresh)?;
            unpack(&packages, &fresh)?;
            fs::rename(&fresh, &unpacked)?;
        }
        Ok(Self {
            kernel: unpacked.join("kernel"),
            modules: Some(unpacked.join("modules")),
            trees: unpacked.join("trees"),
            release: fs::read_to_string(unpacked.join("release"))?,
        })
    }

    /// A file that has all it needs built in.
    pub(super) fn own(file: &Path) -> Self {
        Self { kernel: file.into(), modules: None, trees: PathBuf::new(), release: file.display().to_string() }
    }
}

/// The architecture of a kernel, by the header of its boot protocol.
pub(super) fn architecture(file: &Path) -> Result<&'static str> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    // Documentation/arch/arm64/booting.rst and arch/x86/boot.rst; on a Pi, kernel8.img may be compressed.
    if has(0x38, b"ARM\x64") || has(0, b"\x1f\x8b") {
        Ok("arm64")
    } else if has(0x202, b"HdrS") {
        Ok("amd64")
    } else {
        bail!("{} is not a kernel that qemu can boot", file.display())
    }
}

/// Mirrors list packages that they no longer have.
fn download(kernel: &Kernel, source: &mut Source, folder: &Path) -> Result<()> {
    let archive = source.archive()?;
    let candidates = kernels::among(kernel, archive.names("linux-image-")?)?;
    let mut complaints = Vec::new();
    for package in &candidates {
        folders::empty(folder)?;
        // Newer ones are in three packages.
        let release = package.trim_start_matches("linux-image-");
        let parts = ["linux-binary-", "linux-modules-", "linux-base-"].map(|part| format!("{part}{release}"));
        let mut packages = archive.dependencies(package)?;
        packages.retain(|name| parts.contains(name));
        packages.push(package.clone());
        eprintln!("{}  downloading {}", kernel.name, packages.join(", "));
        match archive.fetch(&packages, folder) {
            Ok(_) => return Ok(()),
            Err(error) => complaints.push(format!("{error:#}")),
        }
    }
    bail!("cannot download kernel {}:\n{}", kernel.name, complaints.join("\n"))
}

fn unpack(packages: &Path, folder: &Path) -> Result<()> {
    let root = folder.join("root");
    for package in folders::files(packages)? {
        command::run(Command::new("dpkg").arg("-x").args([&package, &root]))?;
    }
    // Older packages have their modules in /lib, newer ones in /usr/lib.
    if !root.join("lib").exists() {
        symlink("usr/lib", root.join("lib"))?;
    }
    let modules = folders::files(&root.join("lib/modules"))?;
    let release = modules.first().and_then(|folder| folder.file_name()).context("the package has modules")?;
    let release = release.to_string_lossy().into_owned();
    fs::write(folder.join("release"), &release)?;
    let is_kernel = |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinu"));
    let boot = [root.join("boot"), root.join("lib/modules").join(&release)];
    let files = boot.iter().map(|folder| folders::files(folder)).collect::<Result<Vec<_>>>()?.concat();
    let kernel = files.iter().find(is_kernel).context("the package has a kernel")?;
    fs::copy(kernel, folder.join("kernel"))?;
    fs::create_dir(folder.join("trees"))?;
    let tree = root.join(format!("usr/lib/linux-image-{release}/broadcom/bcm2837-rpi-3-b.dtb"));
    if tree.exists() {
        fs::copy(&tree, folder.join("trees/bcm2837-rpi-3-b.dtb"))?;
    }
    command::run(Command::new("depmod").arg("-b").arg(&root).arg(&release))?;
    fs::create_dir(folder.join("modules"))?;
    for (index, module) in in_order(&root, &release).iter().enumerate() {
        decompress(module, &folder.join("modules"), index)?;
    }
    Ok(fs::remove_dir_all(&root)?)
}

/// The modules' files, each after those that it needs.
fn in_order(root: &Path, release: &str) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for module in MODULES.split_whitespace() {
        let mut modprobe = Command::new("modprobe");
        modprobe.arg("-d").arg(root).args(["-S", release, "--show-depends", module]);
        // One that this kernel does not know is none that its tests need.
        let steps = command::output(&mut modprobe).unwrap_or_default();
        let files = steps.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next());
        order.extend(files.map(PathBuf::from).filter(|file| seen.insert(file.clone())));
    }
    order
}

/// Kernels may be unable to do it themselves.
fn decompress(module: &Path, folder: &Path, index: usize) -> Result<()> {
    let name = module.file_name().context("a module has a name")?.to_string_lossy();
    let stem = name.split(".ko").next().unwrap_or(&name);
    let target = folder.join(format!("{index:03}-{stem}.ko"));
    let program = match module.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::copy(module, &target).map(drop).context("cannot copy a module"),
    };
    let file = fs::File::create(&target)?;
    command::run(Command::new(program).args(["--decompress", "--quiet", "--stdout"]).arg(module).stdout(file))
}
