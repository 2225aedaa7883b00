//! The calls of bpf(2) that aya lacks or does not export.

use std::{
    ffi::{CStr, CString, c_void},
    io,
    marker::PhantomData,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

/// A command of bpf(2) with its attributes, which the kernel reads and writes. The numbers are those of `enum bpf_cmd`, the layouts those of
/// `union bpf_attr` in the kernel's include/uapi/linux/bpf.h.
enum Command<'a, 'm> {
    Pin(&'a mut Pin<'m>),
    OpenPin(&'a mut Pin<'m>),
    Query(&'a mut Query<'m>),
    LookUpBatch(&'a mut Batch<'m>),
    OpenLink(&'a mut [u32; 3]),
    DetachLink(&'a mut [u32; 1]),
}

/// The address of borrowed memory, or 0.
#[repr(transparent)]
struct Address<'m>(u64, PhantomData<&'m mut ()>);

impl<'m> Address<'m> {
    const NONE: Self = Self(0, PhantomData);

    fn of_path(path: &'m CStr) -> Self {
        Self(path.as_ptr() as u64, PhantomData)
    }

    fn of<T>(values: &'m mut [T]) -> Self {
        Self(values.as_mut_ptr() as u64, PhantomData)
    }
}

#[repr(C)]
struct Pin<'m> {
    path: Address<'m>,
    fd: u32,
    flags: u32,
}

/// `enum bpf_attach_type`: the list of programs at TC ingress (kernel 6.6).
const BPF_TCX_INGRESS: u32 = 46;

#[repr(C)]
struct Query<'m> {
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    programs: Address<'m>,
    count: u32,
    padding: u32,
    program_flags: Address<'m>,
    links: Address<'m>,
    link_flags: Address<'m>,
    revision: u64,
}

#[repr(C)]
struct Batch<'m> {
    after: Address<'m>,
    next: Address<'m>,
    keys: Address<'m>,
    values: Address<'m>,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Open whatever is pinned at a path: a map, a program or a link. Symbolic links are followed.
pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    open(Command::OpenPin(&mut Pin { path: Address::of_path(&path), fd: 0, flags: 0 }))
}

/// Pin an object.
pub(crate) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = number(object.as_fd())?;
    bpf(Command::Pin(&mut Pin { path: Address::of_path(&path), fd, flags: 0 })).map(drop)
}

/// Open a link by its ID. The kernel wants `CAP_SYS_ADMIN` for this.
pub(crate) fn open_link(id: u32) -> io::Result<OwnedFd> {
    open(Command::OpenLink(&mut [id, 0, 0]))
}

/// The IDs of the programs at an interface's TC ingress, the first one first (kernel 6.6). `CAP_NET_ADMIN` suffices.
pub(crate) fn tcx_ingress(ifindex: u32) -> io::Result<Vec<u32>> {
    // `BPF_MPROG_MAX`, kernel/bpf/mprog.c.
    let mut programs = [0_u32; 64];
    let mut query = Query {
        ifindex,
        attach_type: BPF_TCX_INGRESS,
        flags: 0,
        attach_flags: 0,
        count: programs.len() as u32,
        programs: Address::of(&mut programs),
        padding: 0,
        program_flags: Address::NONE,
        links: Address::NONE,
        link_flags: Address::NONE,
        revision: 0,
    };
    bpf(Command::Query(&mut query))?;
    let count = query.count as usize;
    Ok(programs.into_iter().take(count).collect())
}

/// Detach a link's program, whoever holds the link (kernel 5.9).
pub(crate) fn detach_link(link: impl AsFd) -> io::Result<()> {
    bpf(Command::DetachLink(&mut [number(link.as_fd())?])).map(drop)
}

/// Read entries of a map into slices of the same length (kernel 5.6): from the first one, or after where an earlier call ended. Returns
/// how many were read, and where to go on; nothing at the end of the map.
///
/// # Safety
/// The map is an array or a hash, and its keys and values have as many bytes as `K` and `V`.
pub(crate) unsafe fn lookup_batch<K: bytemuck::Pod, V: bytemuck::Pod>(
    map: impl AsFd,
    after: Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, Option<u32>)> {
    let count = keys.len().min(values.len());
    // An array goes on after a key, a hash at a bucket: a number of four bytes in either case.
    let (mut after, mut next) = (after.map(|after| [after]), [0_u32]);
    let mut batch = Batch {
        after: after.as_mut().map_or(Address::NONE, |after| Address::of(after)),
        next: Address::of(&mut next),
        keys: Address::of(keys),
        values: Address::of(values),
        count: u32::try_from(count).map_err(io::Error::other)?,
        map_fd: number(map.as_fd())?,
        elem_flags: 0,
        flags: 0,
    };
    let result = bpf(Command::LookUpBatch(&mut batch));
    let count = batch.count as usize;
    match result {
        Ok(_) => Ok((count, Some(next[0]))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((count, None)),
        Err(error) => Err(error),
    }
}

/// The number of a descriptor, as attributes hold it.
fn number(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

/// Run a command that makes a descriptor.
fn open(command: Command<'_, '_>) -> io::Result<OwnedFd> {
    let fd = bpf(command)?;
    // SAFETY: the kernel has just made the descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Run a command. Returns the kernel's answer: for some commands a descriptor.
fn bpf(command: Command<'_, '_>) -> io::Result<libc::c_int> {
    fn attributes<T>(attributes: &mut T) -> (*mut c_void, usize) {
        (ptr::from_mut(attributes).cast(), size_of::<T>())
    }
    let (number, (address, size)): (libc::c_int, _) = match command {
        Command::Pin(pin) => (6, attributes(pin)),
        Command::OpenPin(pin) => (7, attributes(pin)),
        Command::Query(query) => (16, attributes(query)),
        Command::LookUpBatch(batch) => (24, attributes(batch)),
        Command::OpenLink(link) => (30, attributes(link)),
        Command::DetachLink(link) => (34, attributes(link)),
    };
    // SAFETY: the attributes are those of the command and are borrowed until the call returns, like the memory that they give the addresses
    // of. That memory has room for `count` values: of programs by the slice's length, of a map's keys and values by the promise of
    // `lookup_batch`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, number, address, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
