//! `save`, and `--save` of `allow` and `deny`: what is in force becomes a file, and what people wrote into it stays.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result};
use fw_tests::{
    lab::{Lab, Mode},
    tests,
};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const USAGE: i32 = 2;

tests! {
    what_is_saved_is_fine_and_comes_back_as_it_was;
    a_file_is_made_with_its_folder_and_its_mode;
    comments_and_order_survive;
    a_list_on_one_line_stays_there;
    what_an_editor_elsewhere_puts_into_a_file_stays;
    nothing_to_save_writes_nothing;
    a_file_for_several_interfaces_says_one_thing;
    allow_and_deny_say_that_the_file_lacks_them;
    allow_and_deny_save_themselves;
    a_change_that_cannot_be_saved_is_not_made;
    timeouts_of_a_file_are_applied_shown_and_kept;
}

tests! { in every mode:
    the_mode_comes_back_too;
}

/// Policies, as they are typed and as the file has them.
const POLICIES: &[&[&str]] = &[
    &["--allow", "22"],
    &["--allow", "22,80/tcp,6000-6010/udp,1-5/sctp", "--monitor"],
    &["--allow", "22/tcp@192.0.2.0/24,443@[2001:db8::]/32,443/tcp", "--allow-proto", "gre,99", "--forward", "pass"],
    &["--allow", "22", "--forward", "10.8.0.0/24,2001:db8:5::/64,10.8.1.0/24"],
    &["--allow", "1-65535", "--no-replies", "--flows", "4096"],
    &["--allow", "22", "--udp-timeout", "15m"],
    &["--allow", "22", "--refuse", "lan"],
];

fn what_is_saved_is_fine_and_comes_back_as_it_was() -> Result<()> {
    for policy in POLICIES {
        let lab = Lab::without_containers()?;
        let status = |lab: &Lab| -> Result<Value> {
            let mut status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
            status["interfaces"][0].as_object_mut().context("one interface")?.remove("since");
            Ok(status)
        };
        lab.fw(&[&["attach", "eth0"], *policy].concat())?;
        let (before, active) = (status(&lab)?, lab.active("eth0")?);
        lab.fw(&["save"])?;
        assert_eq!(lab.fw(&["check"])?, "one file, no mistakes\n", "{}", lab.read_file("eth0")?);
        let said = lab.fw(&["apply"])?;
        assert!(said.ends_with("nothing to do\n"), "{said}{}", lab.read_file("eth0")?);
        assert_eq!(lab.active("eth0")?, active);
        lab.fw(&["detach", "eth0"])?;
        lab.fw(&["apply"])?;
        assert_eq!(status(&lab)?, before, "{}", lab.read_file("eth0")?);
        let file = lab.read_file("eth0")?;
        assert!(lab.fw(&["save"])?.contains("says so already"));
        assert_eq!(lab.read_file("eth0")?, file);
    }
    Ok(())
}

fn the_mode_comes_back_too(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(mode, "22")?;
    lab.fw(&["save"])?;
    lab.fw(&["detach", "eth0"])?;
    lab.fw(&["apply"])?;
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    assert_eq!(status["interfaces"][0]["mode"], json!(mode.to_string()));
    Ok(())
}

fn timeouts_of_a_file_are_applied_shown_and_kept() -> Result<()> {
    const FILE: &str = "\
allow = [\"22\"]

# The house's sensors sleep.
[timeouts]
udp = \"15m\"    # Matter
tcp = \"1d\"
";
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", FILE)?;
    lab.fw(&["apply"])?;
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    assert_eq!(status["interfaces"][0]["timeouts"], json!({ "udp": 900, "udp_stream": 900, "tcp": 86_400 }));
    let text = lab.fw(&["status"])?;
    assert!(text.contains("  replies UDP flows end after 15m, TCP flows after 1d\n"), "{text}");
    lab.fw(&["allow", "80"])?;
    lab.fw(&["save"])?;
    assert_eq!(lab.read_file("eth0")?, FILE.replace("[\"22\"]", "[\"22\", \"80\"]"));
    // From the command line another one, which the file follows.
    let said = lab.fw(&["attach", "eth0", "--allow", "22,80", "--udp-timeout", "2h"])?;
    assert!(said.contains("  replies UDP flows end after 2h\n"), "{said}");
    let changes = lab.fw(&["apply", "--dry-run"])?;
    for change in ["udp-timeout 2h -> 15m", "udp-stream-timeout 2h -> 15m", "tcp-timeout 2h 4m -> 1d"] {
        assert!(changes.contains(change), "{changes}");
    }
    lab.fw(&["save"])?;
    let saved = lab.read_file("eth0")?;
    assert!(saved.contains("udp = \"2h\"    # Matter\ntcp = \"2h 4m\"\n"), "{saved}");
    assert!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    // Times that make no sense, and what to write instead.
    for (time, words) in
        [("900", "with its unit, for example 90s, 15m or 2h"), ("9s", "from 10s to 1d"), ("2d", "from 10s to 1d")]
    {
        lab.refuses(&["attach", "eth0", "--allow", "22", "--udp-timeout", time], USAGE, &["--udp-timeout", words])?;
    }
    Ok(())
}

fn a_file_is_made_with_its_folder_and_its_mode() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22,80/tcp"])?;
    fs::remove_dir(lab.fw.config())?;
    let path = lab.file("eth0");
    assert_eq!(lab.fw(&["save"])?, format!("eth0  saved in {}\n", path.display()));
    let expected = "\
# What may come in at eth0; everything else is closed.
# After a change: fw-user check, then fw-user apply.

allow = [
    \"22\",
    \"80/tcp\",
]
";
    assert_eq!(lab.read_file("eth0")?, expected);
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_dir(lab.fw.config())?.count(), 1, "no temporary file is left");
    // A link stays one.
    let elsewhere = lab.fw.config().join("elsewhere");
    fs::rename(&path, &elsewhere)?;
    std::os::unix::fs::symlink(&elsewhere, &path)?;
    lab.fw(&["allow", "443"])?;
    lab.fw(&["save", "eth0"])?;
    assert!(fs::symlink_metadata(&path)?.is_symlink());
    assert!(fs::read_to_string(&elsewhere)?.contains("\"443\""));
    Ok(())
}

/// Where people put comments: before and behind everything.
const COMMENTED: &str = "\
# Bob's Pi

monitor = false   # really

# who may come in
allow = [  # in this order
    # the way in
    \"ssh/tcp\", # from anywhere
    \"443/tcp\",  # web

    \"6000-6010/udp\" , # X11
    # not yet: \"53\",
    \"80/tcp\" # last
    # end of the list
] # end of the line

forward = 'drop' # no router
# end of the file
";

const COMMENTED_AFTER: &str = "\
# Bob's Pi

monitor = true   # really

# who may come in
allow = [  # in this order
    # the way in
    \"ssh/tcp\", # from anywhere
    # web

    \"6000-6004/udp\", # X11
    \"6006-6010/udp\",
    # not yet: \"53\",
    \"80/tcp\", # last
    \"8080\",
    # end of the list
] # end of the line

forward = 'pass' # no router
allow-proto = [\"gre\"]
# end of the file
";

fn comments_and_order_survive() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", COMMENTED)?;
    lab.fw(&["apply"])?;
    assert!(lab.fw(&["save"])?.contains("says so already"));
    assert_eq!(lab.read_file("eth0")?, COMMENTED);
    lab.fw(&["attach", "eth0", "--allow", "22/tcp,80/tcp,8080,6000-6004/udp,6006-6010/udp", "--monitor"])?;
    lab.fw(&["save"])?;
    let after = COMMENTED_AFTER.replace("allow-proto = [\"gre\"]\n", "").replace("'pass'", "'drop'");
    assert_eq!(lab.read_file("eth0")?, after);
    lab.fw(&[
        "attach",
        "eth0",
        "--allow",
        "22/tcp,80/tcp,8080,6000-6004/udp,6006-6010/udp",
        "--monitor",
        "--forward",
        "pass",
        "--allow-proto",
        "gre",
    ])?;
    lab.fw(&["save"])?;
    assert_eq!(lab.read_file("eth0")?, COMMENTED_AFTER.replace("'pass'", "\"pass\""));
    // Networks in the place of the verdict, and others in the place of networks.
    let attach = ["attach", "eth0", "--allow", "22/tcp,80/tcp,8080,6000-6004/udp,6006-6010/udp", "--monitor"];
    for (networks, line) in [
        ("10.8.0.0/24,2001:db8:5::/64", r#"forward = ["10.8.0.0/24", "2001:db8:5::/64"] # no router"#),
        ("2001:db8:5::/64,192.0.2.128/25", r#"forward = ["2001:db8:5::/64", "192.0.2.128/25"] # no router"#),
    ] {
        lab.fw(&[&attach[..], &["--allow-proto", "gre", "--forward", networks]].concat())?;
        lab.fw(&["save"])?;
        assert!(lab.read_file("eth0")?.lines().any(|found| found == line), "{}", lab.read_file("eth0")?);
    }
    // All comments, in the order they had.
    let comments = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once('#')?.1.trim().to_owned())).collect()
    };
    assert_eq!(comments(&lab.read_file("eth0")?), comments(COMMENTED));
    assert!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    Ok(())
}

fn a_list_on_one_line_stays_there() -> Result<()> {
    let lab = Lab::without_containers()?;
    let rows = [
        ("allow = [\"22\", \"80\", \"443\"]", "22,443", "allow = [\"22\", \"443\"]"),
        ("allow = [\"22\", \"80\", \"443\"]", "80,443", "allow = [\"80\", \"443\"]"),
        ("allow = [\"22\", \"80\", \"443\"]", "22,80", "allow = [\"22\", \"80\"]"),
        ("allow = [ \"22\" ]", "22,80", "allow = [ \"22\", \"80\" ]"),
        ("allow = [\"22\"] # a", "80", "allow = [\"80\"] # a"),
        ("allow = [\"22-24\", \"80\"]", "22,24,80", "allow = [\"22\", \"24\", \"80\"]"),
        ("allow = [\n\"22\"]", "22,80", "allow = [\n\"22\",\n\"80\",\n]"),
    ];
    for (before, allow, after) in rows {
        lab.write_file("eth0", &format!("{before}\n"))?;
        lab.fw(&["attach", "eth0", "--allow", allow])?;
        lab.fw(&["save"])?;
        assert_eq!(lab.read_file("eth0")?, format!("{after}\n"), "{before} with {allow}");
    }
    Ok(())
}

/// Line ends of two characters, and a byte order mark.
fn what_an_editor_elsewhere_puts_into_a_file_stays() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22,80"])?;
    let file = "\u{feff}# mine\r\nallow = [\r\n  \"22\", # ssh\r\n  \"80\",\r\n]\r\n";
    lab.write_file("eth0", file)?;
    let said = lab.fw(&["save"])?;
    assert!(said.contains("says so already") && lab.read_file("eth0")? == file, "{said}{}", lab.read_file("eth0")?);
    lab.fw(&["allow", "443", "--save"])?;
    assert_eq!(lab.read_file("eth0")?, file.replace("  \"80\",\r\n", "  \"80\",\r\n  \"443\",\r\n"));
    assert_eq!(lab.fw(&["check"])?, "one file, no mistakes\n");
    Ok(())
}

fn nothing_to_save_writes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.refuses(&["save"], FAILED, &["not attached to any interface"])?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.refuses(&["save", "eth1"], FAILED, &["not attached to eth1"])?;
    // A change that may be undone is not saved.
    lab.fw(&["allow", "80", "--confirm", "600"])?;
    lab.refuses(&["save"], FAILED, &["still waits to be confirmed"])?;
    lab.fw(&["confirm"])?;
    lab.write_file("eth0", "allow = [\"22\", 80]\n")?;
    lab.refuses(&["save"], USAGE, &["eth0.toml:1:16: "])?;
    assert_eq!(lab.read_file("eth0")?, "allow = [\"22\", 80]\n");
    lab.write_file("eth0", "interfaces = [\"eth1\"]\nallow = [\"22\"]\n")?;
    lab.refuses(&["save"], FAILED, &["eth0.toml is not written", "do not name eth0"])?;
    fs::remove_file(lab.file("eth0"))?;
    lab.fw(&["deny", "22", "80"])?;
    lab.refuses(&["save"], FAILED, &["nothing is open at eth0"])?;
    assert_eq!(fs::read_dir(lab.fw.config())?.count(), 0);
    Ok(())
}

fn a_file_for_several_interfaces_says_one_thing() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let text = "interfaces = [\"eth0\", \"eth1\", \"usb0\"]\nallow = [\"22\"]\n";
    lab.write_file("lan", text)?;
    lab.fw(&["apply", "eth0", "eth1"])?;
    lab.refuses(&["allow", "80", "--interface", "eth0", "--save"], FAILED, &["lan.toml", "also for eth1"])?;
    lab.fw(&["allow", "80", "--interface", "eth0"])?;
    for args in [&["save"][..], &["save", "eth0"], &["save", "eth1"]] {
        lab.refuses(args, FAILED, &["lan.toml is not written", "eth0", "eth1", "differ now"])?;
    }
    assert_eq!(lab.read_file("lan")?, text);
    lab.fw(&["allow", "80", "--save"])?;
    assert_eq!(lab.read_file("lan")?, text.replace("[\"22\"]", "[\"22\", \"80\"]"));
    assert!(lab.fw(&["save", "eth0"])?.contains("says so already"));
    assert_eq!(fs::read_dir(lab.fw.config())?.count(), 1);
    Ok(())
}

fn allow_and_deny_say_that_the_file_lacks_them() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    // Where there is no file there is nothing to say.
    assert_eq!(lab.fw(&["allow", "80"])?.lines().count(), 1);
    lab.write_file("eth0", "allow = [\"22\", \"443\"]\n")?;
    let lacks =
        format!("eth0  not saved in {}: `fw-user apply` undoes it; to keep it: --save\n", lab.file("eth0").display());
    for (args, is_said) in [
        (["allow", "8080/tcp"], true),
        // Also when it is in force already.
        (["allow", "8080/tcp"], true),
        (["allow", "443/tcp"], false),
        (["deny", "443/tcp"], true),
        (["deny", "8080/tcp"], false),
    ] {
        let said = lab.fw(&args)?;
        assert_eq!(said.contains(&lacks), is_said, "{args:?}: {said}");
    }
    let said: Value = serde_json::from_str(&lab.fw(&["allow", "8081", "--json"])?)?;
    assert_eq!(said["interfaces"][0]["in_file"], json!(false));
    let said = lab.fw(&["allow", "8082", "--confirm", "60"])?;
    assert!(said.contains("to keep it: fw-user confirm, then fw-user save"), "{said}");
    lab.fw(&["confirm"])?;
    assert_eq!(lab.read_file("eth0")?, "allow = [\"22\", \"443\"]\n");
    // A file with mistakes keeps no port shut.
    lab.write_file("eth0", "allow = [\"22\", 443]\n")?;
    let said = lab.fw(&["allow", "8083"])?;
    assert!(said.contains("open: 22, 80") && said.contains("eth0.toml:1:16: "), "{said}");
    Ok(())
}

fn allow_and_deny_save_themselves() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22,80", "--monitor"])?;
    // The file says less than what is in force, and only what was asked for is added.
    lab.write_file("eth0", "allow = [\n    \"22\", # ssh\n]\n")?;
    let said = lab.fw(&["allow", "https/tcp", "8080-8081/udp", "--save"])?;
    assert!(said.ends_with(&format!("eth0  saved in {}\n", lab.file("eth0").display())), "{said}");
    let with = "allow = [\n    \"22\", # ssh\n    \"https/tcp\",\n    \"8080-8081/udp\",\n]\n";
    assert_eq!(lab.read_file("eth0")?, with);
    // Once more is nothing new, in the kernel or in the file.
    let active = lab.active("eth0")?;
    lab.fw(&["allow", "443/tcp", "--save"])?;
    assert_eq!((lab.active("eth0")?, lab.read_file("eth0")?), (active, with.to_owned()));
    let said: Value = serde_json::from_str(&lab.fw(&["deny", "https/tcp", "8081/udp", "--save", "--json"])?)?;
    assert_eq!(said["interfaces"][0]["in_file"], json!(true));
    assert_eq!(lab.read_file("eth0")?, "allow = [\n    \"22\", # ssh\n    \"8080/udp\",\n]\n");
    // A port that was never open is in no file either.
    lab.refuses(&["deny", "9999", "--save"], FAILED, &["9999", "not open"])?;
    // Without a file, one is made of all that is in force.
    fs::remove_file(lab.file("eth0"))?;
    lab.fw(&["allow", "mdns", "--save"])?;
    let file = lab.read_file("eth0")?;
    assert!(file.contains("\"mdns\",") && file.contains("\"80\",") && file.contains("monitor = true"), "{file}");
    assert!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    Ok(())
}

fn a_change_that_cannot_be_saved_is_not_made() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22,80"])?;
    lab.write_file("eth0", "allow = [\"22\"]\nmonitr = true\n")?;
    lab.refuses(&["allow", "443", "--save"], USAGE, &["eth0.toml:2:1: "])?;
    lab.write_file("eth0", "allow = [\"22\"]\n")?;
    lab.refuses(&["deny", "22", "--save"], FAILED, &["eth0.toml is not written", "empty allow list"])?;
    lab.refuses(&["allow", "443", "--save", "--confirm", "60"], USAGE, &["--save", "--confirm"])?;
    assert_eq!(lab.read_file("eth0")?, "allow = [\"22\"]\n");
    Ok(())
}
