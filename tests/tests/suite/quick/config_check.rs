//! `check`: every mistake at its line and column, all at once, with what to do.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Refusal, command, fw},
    tests,
};
use fw_user::testing::check;
use serde_json::{Value, json};

tests! {
    each_mistake_has_its_place_and_its_cure;
    all_mistakes_are_told_at_once;
    good_files_are_fine;
    files_must_agree_with_each_other;
    two_patterns_for_one_interface_are_a_mistake_with_both_places;
    mistakes_come_as_json_too;
    nothing_in_a_file_is_obeyed_by_a_terminal;
    neither_privilege_nor_kernel_is_needed;
    no_text_makes_it_panic;
}

const USAGE: i32 = 2;

/// A text, and its mistakes: line, column, and words of the message.
type Row = (&'static str, &'static [(usize, usize, &'static [&'static str])]);

const ROWS: &[Row] = &[
    // Timeouts.
    ("allow = [\"22\"]\ntimeouts = { udp = \"9s\" }", &[(2, 20, &["`9s`", "from 10s to 1d"])]),
    ("allow = [\"22\"]\n[timeouts]\ntcp = \"1m\"", &[(3, 7, &["`1m`", "from 5m to 31d"])]),
    ("allow = [\"22\"]\n[timeouts]\nudp = 900", &[(3, 7, &["in quotes", "with its unit: udp = \"15m\""])]),
    ("allow = [\"22\"]\n[timeouts]\nudp = \"900\"", &[(3, 7, &["`900` is not a time", "90s, 15m or 2h"])]),
    ("allow = [\"22\"]\n[timeouts]\nsctp = \"1h\"", &[(3, 1, &["no timeout `sctp`", "udp, udp-stream, tcp"])]),
    ("allow = [\"22\"]\n[timeouts]\nudp-stream = \"1m\"", &[(3, 14, &["would expire before flows without", "3m"])]),
    ("allow = [\"22\"]\ntimeouts = \"15m\"", &[(2, 12, &["`timeouts` is a string", "{ udp = \"15m\" }"])]),
    // Invalid TOML.
    ("allow = [\"22\"\nmonitor = true", &[(2, 1, &["array"])]),
    ("allow = [\"22\"]\nmode = \"auto\nflows = 1\n", &[(2, 13, &["invalid TOML", "basic string"]), (3, 9, &["1024"])]),
    ("allow = [\"22\"]\nforward = drop", &[(2, 11, &["quoted"])]),
    ("allow = [\"22\"]\nforward \"drop\"\nmode auto", &[(2, 9, &["="]), (3, 6, &["="])]),
    ("allow = [\"22\"]\nallow = [\"80\"]", &[(2, 1, &["duplicate key"])]),
    // Keys.
    ("alow = [\"22\"]\nallow = [\"22\"]", &[(1, 1, &["no key `alow`", "write `allow`"])]),
    ("allow = [\"22\"]\nallow_proto = [\"gre\"]", &[(2, 1, &["`allow_proto`", "write `allow-proto`"])]),
    ("allow = [\"22\"]\n  Monitor = true", &[(2, 3, &["`Monitor`", "write `monitor`"])]),
    ("allow = [\"22\"]\n[eth0]\nallow = [\"80\"]", &[(2, 2, &["no key `eth0`", "interfaces, except, allow"])]),
    ("allow = [\"22\"]\nxyz.a = 1", &[(2, 1, &["no key `xyz`"])]),
    ("", &[(1, 1, &["no allow list", "allow = [\"22\"]"])]),
    // Types.
    ("allow = \"22\"", &[(1, 9, &["`allow` is a string", "allow = [\"22\", \"80/tcp\"]"])]),
    ("allow = [22]", &[(1, 10, &["quotes", "in quotes: \"22\""])]),
    ("allow = [\"22\", true]", &[(1, 16, &["`allow`", "quotes"])]),
    ("allow = [\"22\"]\ninterfaces = \"eth0\"", &[(2, 14, &["`interfaces` is a string", "[\"eth0\"]"])]),
    ("allow = [\"22\"]\nmonitor = \"yes\"", &[(2, 11, &["`monitor` is a string", "monitor = false"])]),
    ("allow = [\"22\"]\nreplies = 1", &[(2, 11, &["`replies` is a number", "replies = true"])]),
    ("allow = [\"22\"]\nflows = \"4096\"", &[(2, 9, &["`flows` is a string", "flows = 65536"])]),
    ("allow = [\"22\"]\nforward = true", &[(2, 11, &["`forward`", "forward = [\"10.8.0.0/24\"]"])]),
    // Values.
    ("allow = [\"22\"]\nforward = \"maybe\"", &[(2, 11, &["`maybe`", "drop, pass or a network"])]),
    ("allow = [\"22\"]\nforward = []", &[(2, 11, &["list of networks is empty", "forward = \"drop\""])]),
    ("allow = [\"22\"]\nforward = [10]", &[(2, 12, &["`forward`", "quotes"])]),
    ("allow = [\"22\"]\nforward = [\"drop\"]", &[(2, 12, &["drop stands alone"])]),
    ("allow = [\"22\"]\nforward = [\"::1\"]", &[(2, 12, &["nothing is routed on to ::1/128"])]),
    (
        "allow = [\"22\"]\nforward = [\"10.8.0.0/24\", \"10.8.0.9/24\", \"10.8.0.0/24\"]",
        &[(2, 27, &["inside the network 10.8.0.0/24"]), (2, 42, &["in the list already"])],
    ),
    ("allow = [\"22\"]\nrefuse = true", &[(2, 10, &["`refuse` is true or false", "refuse = \"lan\""])]),
    ("allow = [\"22\"]\nrefuse = \"all\"", &[(2, 10, &["`all`", "nobody or lan"])]),
    ("allow = [\"22\"]\nmode = \"offload\"", &[(2, 8, &["`offload`", "auto, native, tc or generic"])]),
    ("allow = [\"22\"]\nflows = 12", &[(2, 9, &["12", "1024 to 16777216"])]),
    ("allow = [\"22\"]\nflows = 99_999_999_999_999_999_999", &[(2, 9, &["1024 to 16777216"])]),
    ("allow = [\"22\"]\ninterfaces = []", &[(2, 14, &["list of interfaces is empty"])]),
    ("allow = [\"22\"]\ninterfaces = [\"a name\"]", &[(2, 15, &["`a name`", "ip link"])]),
    ("allow = [\"22\"]\ninterfaces = [\"sixteen-letters-\"]", &[(2, 15, &["`sixteen-letters-`"])]),
    ("allow = [\"22\"]\ninterfaces = [\"a\", \"b\", \"a\"]", &[(2, 25, &["`a` is named twice"])]),
    // Patterns.
    ("allow = [\"22\"]\ninterfaces = [\"eth[0-9]\"]", &[(2, 15, &["`eth[0-9]` is not a pattern", "\"et*\""])]),
    ("allow = [\"22\"]\ninterfaces = [\"!wg0\"]", &[(2, 15, &["`!wg0` is not a pattern"])]),
    (
        "allow = [\"22\"]\ninterfaces = [\"e *\", \"net/*\"]",
        &[(2, 15, &["no interface's name has"]), (2, 22, &["no interface's name has"])],
    ),
    ("allow = [\"22\"]\ninterfaces = [\"sixteen-letters-*\"]", &[(2, 15, &["up to 15 bytes", "shorten"])]),
    ("allow = [\"22\"]\ninterfaces = [\"*\", \"et*\", \"*\"]", &[(2, 27, &["`*` is named twice"])]),
    ("allow = [\"22\"]\nexcept = [\"wg0\"]", &[(2, 10, &["`interfaces` has none", "interfaces = [\"*\"]"])]),
    ("allow = [\"22\"]\ninterfaces = [\"eth0\"]\nexcept = [\"wg0\"]", &[(3, 10, &["`interfaces` has none"])]),
    ("allow = [\"22\"]\ninterfaces = [\"*\", \"wg0\"]\nexcept = [\"wg0\"]", &[(3, 11, &["in `interfaces` as well"])]),
    ("allow = [\"22\"]\ninterfaces = [\"*\"]\nexcept = [\"wg{0,1}\"]", &[(3, 11, &["`wg{0,1}` is not a pattern"])]),
    (
        "allow = [\"22\"]\ninterfaces = [\"*\"]\nexcept = \"wg0\"",
        &[(3, 10, &["`except` is a string", "except = [\"wg0\"]"])],
    ),
    ("allow = [\"22\"]\nexept = [\"wg0\"]", &[(2, 1, &["write `except`"])]),
    // The allow list, each entry at its own place.
    ("allow = []", &[(1, 9, &["allow list is empty", "close every port"])]),
    ("allow = [\"\"]", &[(1, 10, &["no port here", "22/tcp"])]),
    ("allow = [\"22,80\"]", &[(1, 10, &["several entries", "quotes of its own"])]),
    (
        "allow = [\"22\",\n  \"70000\", \"ssh\",\n  \"22/tpc\",\t\"22@192.168.1.77/24\"]",
        &[(2, 3, &["70000", "1 to 65535"]), (3, 3, &["`tpc`", "tcp, udp"]), (3, 13, &["192.168.1.0/24"])],
    ),
    ("allow = [\"no-such-service\"]", &[(1, 10, &["`no-such-service`", "/etc/services"])]),
    ("allow = [\"22/tcp\", \"ssh/tcp\"]", &[(1, 20, &["`ssh/tcp` is in the list already"])]),
    ("allow = [\"22\"] # Größe\nallow-proto = [\"gre\", \"47\"]", &[(2, 23, &["`47` is in the list already"])]),
    ("allow = [\"22\"]\nallow-proto = [\"gree\", \"tcp\"]", &[(2, 16, &["`gree`"]), (2, 24, &["PORT/PROTO"])]),
    // A column is a character, not a byte.
    ("allow = [\"é\", \"22\", \"x/y\"]", &[(1, 10, &["`é`"]), (1, 21, &["`y`"])]),
];

fn each_mistake_has_its_place_and_its_cure() -> Result<()> {
    for (text, expected) in ROWS {
        let file = check::file(Path::new("eth0.toml"), (*text).to_owned());
        assert!(file.settings.is_none(), "{text}: taken for a good file");
        let places: Vec<_> = file.mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect();
        let wanted: Vec<_> = expected.iter().map(|&(line, column, _)| (line, column)).collect();
        assert_eq!(places, wanted, "{text}\n{:#?}", file.mistakes);
        for (mistake, (_, _, words)) in file.mistakes.iter().zip(*expected) {
            for word in *words {
                ensure!(mistake.what.contains(word), "{text}\n{mistake} does not mention {word:?}");
            }
        }
    }
    let file = check::file(Path::new("/etc/fw-user/the cellar.toml"), "allow = [\"22\"]".to_owned());
    let [mistake] = &file.mistakes[..] else { panic!("{:#?}", file.mistakes) };
    assert!(mistake.to_string().starts_with("/etc/fw-user/the cellar.toml:1:1: `the cellar` cannot be"), "{mistake}");
    // More networks than the kernel's maps hold.
    let entries: Vec<String> =
        (0..65_600u32).map(|n| format!("\"22@10.{}.{}.{}\"", n >> 16, n >> 8 & 255, n & 255)).collect();
    let file = check::file(Path::new("eth0.toml"), format!("monitor = true\nallow = [{}]", entries.join(", ")));
    let [mistake] = &file.mistakes[..] else { panic!("{:#?}", file.mistakes) };
    assert_eq!((mistake.line, mistake.column), (2, 9));
    assert!(mistake.what.contains("65600 networks in total") && mistake.what.contains("larger networks"), "{mistake}");
    Ok(())
}

/// Run it where nothing of the lab is.
fn check(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(fw::binary());
    command.arg("--config").arg(folder).arg("check").args(args).current_dir(folder);
    command
}

fn all_mistakes_are_told_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("eth0.toml"), "allow = [\"0\"]\nmonitr = true\n")?;
    fs::write(folder.path().join("eth1.toml"), "allow = [\"22\"]\nforward = 1\n")?;
    let refusal = Refusal::of(&check(folder.path(), &["eth0.toml", "eth1.toml"]).output()?)?;
    assert_eq!(refusal.code, USAGE);
    let lines: Vec<&str> = refusal.message.lines().collect();
    let expected = [
        "fw-user: 3 mistakes",
        "eth0.toml:1:10: `0`: 0 is not a port; ports are 1 to 65535",
        "eth0.toml:2:1: there is no key `monitr`; write `monitor`",
        "eth1.toml:2:11: the value of `forward` is a number; write for example forward = [\"10.8.0.0/24\"]",
    ];
    assert_eq!(lines, expected);
    // Without names it is the folder's files.
    let refusal = Refusal::of(&check(folder.path(), &[]).output()?)?;
    let place = format!("{}:2:11: ", folder.path().join("eth1.toml").display());
    assert!(refusal.message.contains(&place) && refusal.message.contains("3 mistakes"), "{}", refusal.message);
    // Bytes that are not text.
    fs::write(folder.path().join("eth0.toml"), b"# \xc3\xa9\n# \xe9\nallow = [\"22\"]\n")?;
    let refusal = Refusal::of(&check(folder.path(), &["eth0.toml"]).output()?)?;
    assert!(refusal.message.contains("one mistake\neth0.toml:2:3: this is not UTF-8"), "{}", refusal.message);
    let refusal = Refusal::of(&check(folder.path(), &["eth7.toml"]).output()?)?;
    assert!(refusal.code == 1 && refusal.message.contains("eth7.toml"), "{refusal:?}");
    Ok(())
}

fn good_files_are_fine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let refusal = Refusal::of(&check(folder.path(), &[]).output()?)?;
    assert!(refusal.code == 1 && refusal.message.contains("there is no file in"), "{refusal:?}");
    fs::write(folder.path().join("eth0.toml"), "allow = [\"22\", \"ssh\", \"443@[2001:db8::]/32\"]\n")?;
    assert_eq!(command::run(&mut check(folder.path(), &[]))?, "one file, no mistakes\n");
    // Neither a file that is hidden nor one that is called otherwise is looked at.
    fs::write(folder.path().join(".eth2.toml"), "rubbish")?;
    fs::write(folder.path().join("eth2.toml~"), "rubbish")?;
    fs::write(folder.path().join("eth0.10.toml"), "allow = [\"22\"]\n")?;
    assert_eq!(command::run(&mut check(folder.path(), &[]))?, "2 files, no mistakes\n");
    Ok(())
}

fn files_must_agree_with_each_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("a.toml"), "flows = 4096\nallow = [\"22\"]\ninterfaces = [\"eth0\", \"eth1\"]\n")?;
    fs::write(folder.path().join("eth1.toml"), "allow = [\"22\"]\n")?;
    fs::write(folder.path().join("z.toml"), "allow = [\"22\"]\ninterfaces = [\"eth2\", \"eth0\"]\nflows = 2048\n")?;
    let refusal = Refusal::of(&check(folder.path(), &["a.toml", "eth1.toml", "z.toml"]).output()?)?;
    let lines: Vec<&str> = refusal.message.lines().skip(1).collect();
    let expected = [
        "eth1.toml:1:1: eth1 already has a file, a.toml; keep everything about an interface in one file",
        "z.toml:2:23: eth0 already has a file, a.toml; keep everything about an interface in one file",
        "z.toml:3:9: all interfaces share the flow tables, and a.toml says flows = 4096; write the same here, or leave it out",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

/// Which file an interface gets its rules from must not depend on the order of their names.
fn two_patterns_for_one_interface_are_a_mistake_with_both_places() -> Result<()> {
    let rows: [(&str, &str, Option<&str>); 8] = [
        (
            "[\"*\"]",
            "[\"et*\"]",
            Some("`et*` and `*` in a.toml:1:15 match the same interfaces; add except = [\"et*\"] there"),
        ),
        (
            "[\"et*\"]",
            "[\"*\"]",
            Some("`*` and `et*` in a.toml:1:15 match the same interfaces; add except = [\"et*\"] here"),
        ),
        (
            "[\"et*\"]",
            "[\"*0\"]",
            Some("`*0` and `et*` in a.toml:1:15 match the same interfaces; add except = [\"et*\"] here"),
        ),
        (
            "[\"wl*\", \"*\"]",
            "[\"*\"]",
            Some("`*` and `wl*` in a.toml:1:15 match the same interfaces; add except = [\"wl*\"] here"),
        ),
        ("[\"*\"]", "[\"*\"]", Some("`*` and `*` in a.toml:1:15 match the same interfaces; keep one of the two files")),
        ("[\"et*\"]", "[\"wl*\"]", None),
        ("[\"*\"]\nexcept = [\"et*\"]", "[\"et*\"]", None),
        ("[\"*\"]", "[\"eth0\"]", None),
    ];
    let folder = tempfile::tempdir()?;
    for (one, other, mistake) in rows {
        for (name, interfaces) in [("a.toml", one), ("b.toml", other)] {
            fs::write(folder.path().join(name), format!("interfaces = {interfaces}\nallow = [\"22\"]\n"))?;
        }
        let output = check(folder.path(), &["a.toml", "b.toml"]).output()?;
        let Some(mistake) = mistake else {
            ensure!(output.status.success(), "{one} {other}: {output:?}");
            continue;
        };
        let refusal = Refusal::of(&output).with_context(|| format!("{one} {other}"))?;
        assert_eq!(
            (refusal.code, refusal.message.lines().last()),
            (USAGE, Some(format!("b.toml:1:15: {mistake}").as_str()))
        );
    }
    Ok(())
}

fn mistakes_come_as_json_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("eth0.toml"), "allow = [\"22\"]\n")?;
    let said: Value = serde_json::from_str(&command::run(&mut check(folder.path(), &["eth0.toml", "--json"]))?)?;
    assert_eq!(said, json!({ "files": ["eth0.toml"], "mistakes": [] }));
    fs::write(folder.path().join("eth0.toml"), "\nalow = [\"22\"]\nallow = [\"22\"]\n")?;
    let output = check(folder.path(), &["eth0.toml", "--json"]).output()?;
    assert_eq!(output.status.code(), Some(USAGE));
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let what = "there is no key `alow`; write `allow`";
    let mistake = json!({ "file": "eth0.toml", "line": 2, "column": 1, "what": what });
    assert_eq!(said, json!({ "files": ["eth0.toml"], "mistakes": [mistake] }));
    Ok(())
}

/// Sequences that a terminal obeys: clear the screen, set the title, go up a line, write from right to left.
fn nothing_in_a_file_is_obeyed_by_a_terminal() -> Result<()> {
    let tricks =
        ["\\u001b[2J", "\\u001b]0;root\\u0007", "\\u009b2J", "\\r\\u001b[1A", "\\u202e", "\\nfw-user: all is well"];
    let allow: Vec<String> = tricks.iter().map(|trick| format!("\"22{trick}\"")).collect();
    let [clear, title, ..] = tricks;
    let text = format!(
        "interfaces = [\"a b{clear}\"]\nallow = [{}]\nallow-proto = [\"gre{clear}\"]\nmode = \"{title}\"\nforward = \"{clear}\"\n\"key{clear}\" = 1\n",
        allow.join(", ")
    );
    let folder = tempfile::tempdir()?;
    // The file's own name, and the bytes themselves where TOML forbids them.
    let name = "\u{1b}[31m\u{202e}.toml";
    fs::write(folder.path().join(name), text)?;
    fs::write(folder.path().join("raw.toml"), "allow = [\"\u{1b}[2J\"]\n\u{9b}2J = 1\n")?;
    let files = [name, "raw.toml"];
    let refusal = Refusal::of(&check(folder.path(), &files).output()?)?;
    let is_obeyed = |character: char| {
        character != '\n' && (character.is_control() || ('\u{2028}'..='\u{202e}').contains(&character))
    };
    ensure!(!refusal.message.contains(is_obeyed), "{:?}", refusal.message);
    ensure!(refusal.message.contains("22?[2J"), "{:?}", refusal.message);
    ensure!(!refusal.message.lines().any(|line| line.starts_with("fw-user: all is well")), "{:?}", refusal.message);
    // JSON says exactly what stands there.
    let output = check(folder.path(), &[&files[..], &["--json"]].concat()).output()?;
    let json = String::from_utf8(output.stdout)?;
    ensure!(!json.contains(is_obeyed), "{json:?}");
    let said: Value = serde_json::from_str(&json)?;
    ensure!(said["files"][0] == name, "{said}");
    let whats = said["mistakes"].as_array().context("mistakes")?.iter().filter_map(|mistake| mistake["what"].as_str());
    ensure!(whats.into_iter().any(|what| what.contains("22\u{202e}")), "{said}");
    Ok(())
}

/// Somebody prepares the file of another machine.
fn neither_privilege_nor_kernel_is_needed() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]\n")?;
    let path = lab.file("eth0");
    let mut stripped = Command::new("setpriv");
    stripped.args(["--bounding-set", "-all", "--inh-caps", "-all", "--"]).arg(fw::binary()).arg("check").arg(&path);
    assert_eq!(command::run(&mut stripped).context("without capabilities")?, "one file, no mistakes\n");
    Ok(())
}

/// Every beginning of a text, and every text that lacks a character, is judged, and at a place that it has.
fn no_text_makes_it_panic() -> Result<()> {
    let text = "# é\ninterfaces = [\"eth0\"]\nallow = [ # ssh\n  \"22\", \"443@[2001:db8::]/32\",\n]\nflows = 0x1000\nmode = '''auto'''\n";
    let ends = text.char_indices().map(|(at, _)| at);
    let lacking = text.char_indices().map(|(at, c)| format!("{}{}", &text[..at], &text[at + c.len_utf8()..]));
    let mut judged = 0;
    for broken in ends.map(|end| text[..end].to_owned()).chain(lacking) {
        let lines = broken.matches('\n').count() + 1;
        let file = check::file(Path::new("eth0.toml"), broken.clone());
        ensure!(file.settings.is_none() != file.mistakes.is_empty(), "{broken:?}: {:?}", file.mistakes);
        for mistake in &file.mistakes {
            ensure!(mistake.line <= lines && mistake.column >= 1, "{mistake} in {broken:?}");
        }
        judged += usize::from(!file.mistakes.is_empty());
    }
    ensure!(judged > 100, "only {judged} of them are broken");
    Ok(())
}
