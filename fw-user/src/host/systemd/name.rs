//! Unit names of interfaces, escaped as `systemd-escape(1)` does: `fw-user@br\x2dlan.service` is for `br-lan`.

use crate::host::systemd::files::TEMPLATE;

/// The instance of the template for an interface.
#[must_use]
pub(crate) fn unit(interface: &str) -> String {
    let (prefix, suffix) = TEMPLATE.split_once('@').unwrap_or_default();
    let mut name = format!("{prefix}@");
    for (at, byte) in interface.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str(r"\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => name.push(char::from(byte)),
            byte => name += &format!(r"\x{byte:02x}"),
        }
    }
    name + suffix
}

/// The interface of an instance of the template.
#[must_use]
pub(crate) fn interface(unit: &str) -> Option<String> {
    let (prefix, suffix) = TEMPLATE.split_once('@')?;
    let mut escaped = unit.strip_prefix(prefix)?.strip_prefix('@')?.strip_suffix(suffix)?;
    let mut bytes = Vec::new();
    while let Some(&first) = escaped.as_bytes().first() {
        let (byte, rest) = match escaped.strip_prefix(r"\x") {
            Some(rest) => (u8::from_str_radix(rest.get(..2)?, 16).ok()?, rest.get(2..)?),
            None => (if first == b'-' { b'/' } else { first }, escaped.get(1..)?),
        };
        bytes.push(byte);
        escaped = rest;
    }
    String::from_utf8(bytes).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_escapes_them_and_back() {
        for (name, escaped) in [
            ("eth0", "fw-user@eth0.service"),
            ("br-lan", r"fw-user@br\x2dlan.service"),
            ("eth0.7", "fw-user@eth0.7.service"),
            ("a@b+c_d", r"fw-user@a\x40b\x2bc_d.service"),
        ] {
            assert_eq!(unit(name), escaped);
            assert_eq!(interface(escaped).as_deref(), Some(name));
        }
        for other in ["fw-user@.service", "fw-user-settle.service", "ssh.service", r"fw-user@a\x2.service"] {
            assert_eq!(interface(other), None, "{other}");
        }
    }
}
