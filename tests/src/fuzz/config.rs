//! The text of a file in `/etc/fw-user`.

use std::path::Path;

use fw_common::{forward::Forward, refuse::Refuse};
use fw_user::testing::{
    ingress::ModeChoice,
    {Settings, check, edit},
};

/// For any text: every place is inside it, and its settings survive a write.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let file = check::file(Path::new("eth0.toml"), text.to_owned());
    assert_eq!(file.settings.is_none(), !file.mistakes.is_empty(), "a file says something, or what is wrong with it");
    for mistake in &file.mistakes {
        let line = text.split('\n').nth(mistake.line - 1);
        let line = line.unwrap_or_else(|| panic!("line {} is none of the file's: {mistake}", mistake.line));
        assert!((1..=line.chars().count() + 1).contains(&mistake.column), "no such column: {mistake}");
    }
    for interface in &file.interfaces {
        assert!(text.get(interface.span()).is_some(), "{:?} is no piece of the file", interface.span());
    }
    if let Some(settings) = &file.settings {
        survives(text, settings);
    }
}

fn survives(text: &str, settings: &Settings) {
    let read = |text: &str| {
        let file = check::file(Path::new("eth0.toml"), text.to_owned());
        file.settings.unwrap_or_else(|| panic!("{:?}\n{text}", file.mistakes))
    };
    let created = edit::create("eth0", settings, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read(&created), *settings, "a new file says the same:\n{created}");

    let update =
        |wanted: &Settings| edit::update(text, settings, wanted, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read(&update(settings)), *settings, "nothing changes where nothing is to change");

    // Everything else.
    let mut other = settings.clone();
    let rules = other.policy.rules();
    other.policy.deny(&rules[rules.len() / 2]);
    other.policy.allow("9125/udp".parse().expect("a rule"));
    other.policy.protocols = [47].into();
    other.policy.forward = match settings.policy.forward {
        Forward::Drop => Forward::Pass,
        Forward::Pass => "10.8.0.0/24,2001:db8:5::/64".parse().expect("two networks"),
        Forward::To(_) => Forward::Drop,
    };
    other.policy.refuse = if settings.policy.refuse == Refuse::Lan { Refuse::Nobody } else { Refuse::Lan };
    other.mode = if settings.mode == ModeChoice::Native { ModeChoice::Generic } else { ModeChoice::Native };
    other.flows = Some(4_096);
    (other.replies, other.monitor) = (!settings.replies, !settings.monitor);
    let updated = update(&other);
    assert_eq!(read(&updated), other, "a changed file says what was wanted:\n{updated}");
}
