//! `fw-user` with programs that the kernel verifies at once: for tests of what the command does, not of what the programs decide.
//!
//! The object in a copy of the executable is the embedded one, maps, symbols and type information included; only its programs for Ethernet are
//! cut down to "pass everything". The fault tests read what they would decide from the maps.

use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use anyhow::{Context, Result, bail, ensure};
use aya_obj::Object;
use fw_user::testing::{OBJECT, object};
use memchr::memmem;
use tempfile::NamedTempFile;

use super::{fw, wait};

/// An instruction in an ELF object.
type Instruction = [u8; 8];
/// `r0 = value`
const fn answer(value: u8) -> Instruction {
    [0xb7, 0, 0, 0, value, 0, 0, 0]
}
const EXIT: Instruction = [0x95, 0, 0, 0, 0, 0, 0, 0];
const XDP_PASS: u8 = 2;
const TC_ACT_OK: u8 = 0;

/// The program: a file beside the real one, made once in each test process.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| make().expect("the embedded object can be replaced"));
    &BINARY
}

fn make() -> Result<PathBuf> {
    let mut program = fs::read(fw::binary())?;
    replace_once(&mut program, OBJECT, &trivial_object()?).context("the object in fw-user")?;
    let path = fw::binary().with_file_name("fw-user-trivial");
    let folder = path.parent().context("an executable is in a folder")?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&program)?;
    file.as_file().set_permissions(Permissions::from_mode(0o755))?;
    file.persist(&path)?;
    // A child that another test starts holds the file open for writing until it becomes its own program.
    wait::until("the program to be free", || {
        match Command::new(&path).arg("--version").stdout(Stdio::null()).status() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => Ok(None),
            ended => {
                ensure!(ended?.success(), "{} does not run", path.display());
                Ok(Some(()))
            }
        }
    })?;
    Ok(path)
}

/// The embedded object, with programs of two instructions.
fn trivial_object() -> Result<Vec<u8>> {
    let parsed = Object::parse(OBJECT)?;
    let mut bytes = OBJECT.to_vec();
    for (name, verdict) in [(object::INGRESS, XDP_PASS), (object::EGRESS, TC_ACT_OK), (object::INGRESS_TC, TC_ACT_OK)] {
        let program = parsed.programs.get(name).with_context(|| format!("the object has no {name}"))?;
        let function = parsed.functions.get(&program.function_key()).context("a program is a function")?;
        let code: Vec<u8> = function.instructions.iter().copied().flat_map(instruction).collect();
        let mut trivial = code.clone();
        trivial[..16].copy_from_slice([answer(verdict), EXIT].as_flattened());
        replace_once(&mut bytes, &code, &trivial).with_context(|| format!("the code of {name}"))?;
        // Its size in the symbol table: what follows belongs to no function any more. Elf64_Sym: st_shndx, st_value, st_size.
        let symbol = |size: usize| {
            let (section, start) = (function.section_index.0 as u16, function.address);
            [&section.to_le_bytes()[..], &start.to_le_bytes(), &(size as u64).to_le_bytes()].concat()
        };
        replace_once(&mut bytes, &symbol(code.len()), &symbol(16)).with_context(|| format!("the symbol of {name}"))?;
    }
    Ok(bytes)
}

/// As it is in an ELF file, little-endian.
fn instruction(instruction: aya_obj::generated::bpf_insn) -> Instruction {
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    let ([off0, off1], [imm0, imm1, imm2, imm3]) = (instruction.off.to_le_bytes(), instruction.imm.to_le_bytes());
    [instruction.code, registers, off0, off1, imm0, imm1, imm2, imm3]
}

/// Replace what occurs exactly once by something of the same length.
fn replace_once(bytes: &mut [u8], from: &[u8], to: &[u8]) -> Result<()> {
    ensure!(from.len() == to.len(), "{} bytes are not {}", to.len(), from.len());
    let places: Vec<usize> = memmem::find_iter(bytes, from).collect();
    let [at] = places[..] else { bail!("it is there {} times", places.len()) };
    bytes[at..at + to.len()].copy_from_slice(to);
    Ok(())
}
