//! Servers through which people log in, by the names of their processes: the first 15 bytes of the program's file name.

use crate::host::processes::Process;

/// Servers that show a desktop to a viewer elsewhere: VNC and RDP.
const DESKTOPS: [&str; 13] = [
    "Xtightvnc",
    "Xtigervnc",
    "Xvnc",
    "gnome-remote-de",
    "krdpserver",
    "krfb",
    "vino-server",
    "vncserver-x11-c",
    "wayvnc",
    "x0tigervncserve",
    "x0vncserver",
    "x11vnc",
    "xrdp",
];

/// Whether it serves SSH. `OpenSSH` 9.8 and later runs `sshd-session` and `sshd-auth` beside `sshd`; distributions call variants
/// `sshd.pam` or `sshd.krb5` (Alpine).
pub(crate) fn is_sshd(process: &Process) -> bool {
    let name = process.name.as_str();
    matches!(name, "sshd" | "dropbear" | "dropbearmulti" | "tinysshd")
        || name.starts_with("sshd.")
        || name.starts_with("sshd-")
}

/// Whether it shows a desktop to a viewer elsewhere.
pub(crate) fn is_desktop(process: &Process) -> bool {
    DESKTOPS.contains(&process.name.as_str())
}

/// Whether it opens sockets for others, and starts them when somebody comes: the first process (systemd), and inetd.
pub(crate) fn listens_for_others(process: &Process) -> bool {
    process.pid == 1 || matches!(process.name.as_str(), "inetd" | "xinetd")
}
