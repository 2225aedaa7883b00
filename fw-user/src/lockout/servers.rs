//! Servers for logins, by the names of their processes: the first 15 bytes of the program's file name.

use crate::host::processes::Process;

/// Servers for remote desktops: VNC and RDP.
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

/// Whether it is an SSH server. `OpenSSH` 9.8 and later runs `sshd-session` and `sshd-auth` beside `sshd`; Alpine has the variants `sshd.pam` and
/// `sshd.krb5`.
pub(crate) fn is_sshd(process: &Process) -> bool {
    let name = process.name.as_str();
    matches!(name, "sshd" | "dropbear" | "dropbearmulti" | "tinysshd")
        || name.starts_with("sshd.")
        || name.starts_with("sshd-")
}

/// Whether it is a server for remote desktops.
pub(crate) fn is_desktop(process: &Process) -> bool {
    DESKTOPS.contains(&process.name.as_str())
}

/// Whether it opens sockets for others, and starts them on a connection: process 1 (systemd), and inetd.
pub(crate) fn listens_for_others(process: &Process) -> bool {
    process.pid == 1 || matches!(process.name.as_str(), "inetd" | "xinetd")
}
