//! Rules as they were typed: what is shown, saved and taken back, and what is left of them without their text.

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use fw_common::abi::{RULE_CHUNK, RuleChunk, RulesAt, map};
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, PI6, Transport, stats::Status},
    tests,
};
use fw_user::testing::plain::Plain;
use serde_json::{Value, json};

const USAGE: i32 = 2;

tests! {
    deny_takes_back_the_rule_that_was_typed_and_leaves_others;
    a_comment_is_shown_saved_and_applied;
    a_trial_that_ends_brings_the_rules_back_as_they_were_typed;
    without_their_text_the_rules_are_what_is_in_force;
    more_text_than_a_chunk_holds_is_read_again;
    comments_that_make_no_sense_are_refused;
}

tests! { in every mode:
    a_trusted_host_reaches_every_port_until_it_is_taken_back;
}

/// The rules of eth0 as `status --json` has them, with their comments.
fn rules(lab: &Lab) -> Result<Vec<String>> {
    let status: Status = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    let rules = &status.interfaces.first().context("one interface")?.policy.rules;
    let words = rules.iter().map(|rule| match &rule.comment {
        None => rule.rule.clone(),
        Some(comment) => format!("{} ({comment})", rule.rule),
    });
    Ok(words.collect())
}

fn deny_takes_back_the_rule_that_was_typed_and_leaves_others() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(8000)?;
    lab.attach(Mode::Native, "22")?;
    lab.fw(&["allow", "8000@192.0.2.0/24"])?;
    lab.fw(&["allow", "8000"])?;
    assert_eq!(rules(&lab)?, ["22", "8000", "8000@192.0.2.0/24"]);
    ensure!(lab.fw(&["status"])?.contains("  open    22, 8000, 8000@192.0.2.0/24\n"));
    let said = lab.fw(&["deny", "8000"])?;
    assert_eq!(said.trim_end(), "eth0  open: 22, 8000@192.0.2.0/24");
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8000).with_context(|| format!("{LAN4} is still let in"))?;
    // The other way round.
    lab.fw(&["allow", "8000"])?;
    assert_eq!(lab.fw(&["deny", "8000@192.0.2.0/24"])?.trim_end(), "eth0  open: 22, 8000");
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8000)
}

fn a_trusted_host_reaches_every_port_until_it_is_taken_back(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let (tcp, udp) = (lab.pi.serve_tcp(8000)?, lab.pi.serve_udp(9000)?);
    let reach = || -> Result<()> {
        lab.lan.reaches(&tcp, Transport::Tcp, PI4, 8000)?;
        lab.lan.reaches(&udp, Transport::Udp, PI4, 9000)
    };
    lab.attach(mode, "22")?;
    let said = lab.fw(&["allow", &format!("all@{LAN4}"), "--comment", "the desk", "--save"])?;
    ensure!(said.starts_with(&format!("eth0  open: all@{LAN4}/32 (the desk), 22\n")), "{said}");
    reach()?;
    lab.is_closed(&tcp, Transport::Tcp, PI6, 8000)?;
    assert_eq!(rules(&lab)?, [&format!("all@{LAN4}/32 (the desk)"), "22"]);
    ensure!(lab.fw(&["apply"])?.ends_with("nothing to do\n"), "{}", lab.read_file("eth0")?);
    // Its ports are not listed one by one.
    ensure!(lab.stats("eth0")?.ports.len() < 10);
    let asked = ["explain", "9125/tcp", "--from", &LAN4.to_string()];
    ensure!(lab.fw(&asked)?.contains(&format!("all@{LAN4}/32")), "{}", lab.fw(&asked)?);
    lab.fw(&["deny", &format!("all@{LAN4}"), "--save"])?;
    assert_eq!(rules(&lab)?, ["22"]);
    lab.is_closed(&tcp, Transport::Tcp, PI4, 8000)?;
    for (typed, words) in [
        ("all", "every port to everyone"),
        ("all/tcp@192.0.2.1", "write 1-65535/tcp@192.0.2.1"),
        ("all@2001:db8::1", "brackets"),
    ] {
        lab.refuses(&["allow", typed], USAGE, &[words])?;
    }
    Ok(())
}

const FILE: &str = "\
allow = [
    \"22\", # the way in
    { rule = \"8096/tcp\", comment = \"jellyfin\" },
]
";

fn a_comment_is_shown_saved_and_applied() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let said = lab.fw(&["allow", "8096/tcp", "--comment", "jellyfin"])?;
    assert_eq!(said.trim_end(), "eth0  open: 22, 8096/tcp (jellyfin)");
    ensure!(lab.fw(&["status"])?.contains("  open    22, 8096/tcp (jellyfin)\n"));
    assert_eq!(rules(&lab)?, ["22", "8096/tcp (jellyfin)"]);
    lab.write_file("eth0", "allow = [\n    \"22\", # the way in\n]\n")?;
    ensure!(lab.fw(&["apply", "--dry-run"])?.contains("  - 8096/tcp (jellyfin)\n"));
    lab.fw(&["save"])?;
    assert_eq!(lab.read_file("eth0")?, FILE);
    ensure!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    // Another comment alone is a change too, and none takes it away.
    lab.write_file("eth0", &FILE.replace("jellyfin", "films"))?;
    let said = lab.fw(&["apply"])?;
    ensure!(said.contains("rules 8096/tcp (jellyfin) -> 8096/tcp (films)"), "{said}");
    assert_eq!(rules(&lab)?, ["22", "8096/tcp (films)"]);
    lab.fw(&["allow", "8096/tcp", "--comment", "series", "--save"])?;
    assert_eq!(lab.read_file("eth0")?, FILE.replace("jellyfin", "series"));
    lab.attach(Mode::Native, "22,8096/tcp")?;
    lab.fw(&["save"])?;
    assert_eq!(lab.read_file("eth0")?, "allow = [\n    \"22\", # the way in\n    \"8096/tcp\",\n]\n");
    Ok(())
}

fn a_trial_that_ends_brings_the_rules_back_as_they_were_typed() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22/tcp,22/udp")?;
    lab.fw(&["allow", "80@192.0.2.0/24", "--comment", "web"])?;
    let before = rules(&lab)?;
    assert_eq!(before, ["22/tcp", "22/udp", "80@192.0.2.0/24 (web)"]);
    lab.fw(&["allow", "80", "443/tcp", "--comment", "all", "--confirm", "600"])?;
    assert_eq!(rules(&lab)?, ["22/tcp", "22/udp", "80 (all)", "80@192.0.2.0/24 (web)", "443/tcp (all)"]);
    lab.fw(&["rollback"])?;
    assert_eq!(rules(&lab)?, before);
    Ok(())
}

fn without_their_text_the_rules_are_what_is_in_force() -> Result<()> {
    type Rules = HashMap<MapData, Plain<RulesAt>, Plain<RuleChunk>>;
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22/tcp,22/udp,80-90/tcp,85/tcp@192.0.2.0/24")?;
    let in_force = ["22", "80-90/tcp"];
    assert_eq!(rules(&lab)?, ["22/tcp", "22/udp", "80-90/tcp", "85/tcp@192.0.2.0/24"]);
    let path = lab.pin_folder().join(map::RULES);
    let mut text: Rules = Map::HashMap(MapData::from_pin(path)?).try_into()?;
    let keys: Vec<_> = text.keys().collect::<Result<_, _>>()?;
    // Another policy, no text at all, a text that is cut, and a length that is too long.
    for typed in ["allow\t22\nallow\t443/tcp\n", "\u{0}", "allow\t22\nallow\t80-90/t", "allow\t22\nallow\t80-90/tcp\n"]
    {
        for key in &keys {
            let mut chunk = [0; RULE_CHUNK];
            let length = if typed.ends_with("tcp\n") && !typed.contains("443") { 1 << 30 } else { typed.len() as u32 };
            chunk[..4].copy_from_slice(&length.to_ne_bytes());
            chunk[4..4 + typed.len()].copy_from_slice(typed.as_bytes());
            text.insert(*key, Plain(chunk), 0)?;
        }
        assert_eq!(rules(&lab)?, in_force, "{typed:?}");
    }
    for key in &keys {
        text.remove(key)?;
    }
    assert_eq!(rules(&lab)?, in_force);
    lab.fw(&["allow", "443/tcp", "--comment", "web"])?;
    assert_eq!(rules(&lab)?, ["22", "80-90/tcp", "443/tcp (web)"]);
    Ok(())
}

fn more_text_than_a_chunk_holds_is_read_again() -> Result<()> {
    let lab = Lab::without_containers()?;
    let typed: Vec<String> = (1..=2000).map(|n| format!("{}/tcp@192.0.2.0/24", 2 * n)).collect();
    lab.attach(Mode::Native, &typed.join(","))?;
    assert_eq!(rules(&lab)?, typed);
    lab.attach(Mode::Native, "22")?;
    lab.attach(Mode::Native, "23")?;
    assert_eq!(rules(&lab)?, ["23"]);
    Ok(())
}

fn comments_that_make_no_sense_are_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    for comment in ["", "  ", "two\nlines", "a\tb", &"x".repeat(101)] {
        lab.refuses(&["allow", "80", "--comment", comment], USAGE, &["one line of 1 to 100 characters"])?;
    }
    lab.refuses(&["deny", "22", "--comment", "x"], USAGE, &["--comment"])?;
    assert_eq!(rules(&lab)?, ["22"]);
    for (entry, words) in [
        ("{ comment = \"web\" }", "1:10: the rule is missing"),
        ("{ rule = 80 }", "write the rule in quotes"),
        ("{ rule = \"80\", comment = 1 }", "write the comment in quotes"),
        ("{ rule = \"80\", coment = \"web\" }", "a rule has no key `coment`"),
        ("{ rule = \"80\", comment = \"\" }", "one line of 1 to 100 characters"),
        ("{ rule = \"70000\", comment = \"web\" }", "70000 is not a port"),
    ] {
        lab.write_file("eth0", &format!("allow = [{entry}]\n"))?;
        lab.refuses(&["check"], USAGE, &[words])?;
    }
    // The opened rules in JSON stay valid for --allow.
    lab.write_file("eth0", FILE)?;
    let said: Value = serde_json::from_str(&lab.fw(&["apply", "--json"])?)?;
    assert_eq!(said["interfaces"][0]["opened"], json!(["8096/tcp"]));
    Ok(())
}
