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
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
const BPF_LINK_DETACH: libc::c_int = 34;

#[repr(C)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Whatever is pinned at a path: a map, a program or a link. Symbolic links are followed.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let asked = Pin { path: path.as_ptr() as u64, fd: 0, flags: 0 };
    // SAFETY: the path lives until the call returns, and the kernel only reads it.
    let fd = unsafe { bpf(BPF_OBJ_GET, &asked) }?;
    // SAFETY: the kernel has just made the descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pin an object.
pub(super) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = u32::try_from(object.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: the path lives until the call returns, and the kernel only reads it.
    unsafe { bpf(BPF_OBJ_PIN, &Pin { path: path.as_ptr() as u64, fd, flags: 0 }) }.map(drop)
}

/// A link by its ID. The kernel wants `CAP_SYS_ADMIN` for this.
pub(super) fn open_link(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the value holds no pointer.
    let fd = unsafe { bpf(BPF_LINK_GET_FD_BY_ID, &[id, 0, 0]) }?;
    // SAFETY: the kernel has just made the descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Take a link's program off, whoever holds the link (kernel 5.9).
pub(super) fn detach_link(link: impl AsFd) -> io::Result<()> {
    let fd = link.as_fd().as_raw_fd();
    // SAFETY: the value holds no pointer.
    unsafe { bpf(BPF_LINK_DETACH, &[fd]) }.map(drop)
}

/// # Safety
/// The value is what the kernel expects of this command, and pointers in it are valid.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads as many bytes as it is told; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
