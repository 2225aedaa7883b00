//! The calls of bpf(2) that aya keeps to itself or does not know.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

// The numbers and layouts are those of `enum bpf_cmd` and `union bpf_attr` in the kernel's include/uapi/linux/bpf.h.
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
const BPF_LINK_DETACH: libc::c_int = 34;

#[repr(C)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

/// `enum bpf_attach_type`: the list of programs at TC ingress (kernel 6.6).
const BPF_TCX_INGRESS: u32 = 46;

#[repr(C)]
struct Query {
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    padding: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

#[repr(C)]
struct Batch {
    after: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Whatever is pinned at a path: a map, a program or a link. Symbolic links are followed.
pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut asked = Pin { path: path.as_ptr() as u64, fd: 0, flags: 0 };
    // SAFETY: the path lives until the call returns, and the kernel only reads it.
    let fd = unsafe { bpf(BPF_OBJ_GET, &mut asked) }?;
    // SAFETY: the kernel has just made the descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pin an object.
pub(crate) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = u32::try_from(object.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: the path lives until the call returns, and the kernel only reads it.
    unsafe { bpf(BPF_OBJ_PIN, &mut Pin { path: path.as_ptr() as u64, fd, flags: 0 }) }.map(drop)
}

/// A link by its ID. The kernel wants `CAP_SYS_ADMIN` for this.
pub(crate) fn open_link(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the value holds no pointer.
    let fd = unsafe { bpf(BPF_LINK_GET_FD_BY_ID, &mut [id, 0, 0]) }?;
    // SAFETY: the kernel has just made the descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
        programs: programs.as_mut_ptr() as u64,
        count: programs.len() as u32,
        padding: 0,
        program_flags: 0,
        links: 0,
        link_flags: 0,
        revision: 0,
    };
    // SAFETY: the numbers live until the call returns, and the kernel writes no more of them than `count` says.
    unsafe { bpf(BPF_PROG_QUERY, &mut query) }?;
    Ok(programs.into_iter().take(query.count as usize).collect())
}

/// Take a link's program off, whoever holds the link (kernel 5.9).
pub(crate) fn detach_link(link: impl AsFd) -> io::Result<()> {
    let fd = link.as_fd().as_raw_fd();
    // SAFETY: the value holds no pointer.
    unsafe { bpf(BPF_LINK_DETACH, &mut [fd]) }.map(drop)
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
    let (after, mut next) = (after.as_ref(), 0_u32);
    let mut batch = Batch {
        after: after.map_or(0, |after| std::ptr::from_ref(after) as u64),
        next: &raw mut next as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(count).map_err(io::Error::other)?,
        map_fd: u32::try_from(map.as_fd().as_raw_fd()).map_err(io::Error::other)?,
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the numbers and slices live until the call returns, and the kernel writes at most `count` keys and values, whose sizes are
    // the caller's promise; any bytes are a value of theirs.
    match unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut batch) } {
        Ok(_) => Ok((batch.count as usize, Some(next))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((batch.count as usize, None)),
        Err(error) => Err(error),
    }
}

/// # Safety
/// The value is what the kernel expects of this command, and pointers in it are valid.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes as many bytes as it is told; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
