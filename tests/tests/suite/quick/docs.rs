//! README and docs say what is so: each name in them is the code's, and each file and link on a page is one.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result, ensure};
use fw_common::{
    Reason,
    abi::{DEFAULT_FLOWS, KNOCKERS, MAX_ATTEMPTS, RARE_PORTS},
    bans::MAX_BANS,
    compiled::{MOST_LISTS, MOST_NETWORKS, MOST_PAIRS},
};
use fw_tests::{
    kernel::MOST_VERIFIED,
    lab::{Lab, Mode, PI4, Transport, netfilter::CLOSED_TARGET, wait},
    pages::{self, root},
    tests,
};
use fw_user::testing::{
    dry_run::LARGEST_FRAME,
    exit_code, reasons, {check, parse},
};

tests! {
    every_block_is_of_a_kind_that_is_looked_at;
    the_kernel_keeps_ip_from_taking_the_filter_off;
    every_figure_is_the_programs_own;
    every_reason_stands_in_the_manual_with_its_number;
    every_exit_code_stands_in_the_readme;
    every_reason_is_explained_in_the_words_of_the_manual;
    every_json_field_stands_in_the_manual;
    the_example_of_a_file_is_one_and_has_every_key;
    every_file_on_a_page_is_one;
    every_link_leads_somewhere;
    removing_the_pin_by_hand_takes_the_filter_off;
}

/// A command in another kind of block would be typed by people and by no test.
fn every_block_is_of_a_kind_that_is_looked_at() -> Result<()> {
    for (name, page) in pages::all(&root())? {
        let fences = page.lines().filter_map(|line| line.trim_start().strip_prefix("```").map(|kind| (line, kind)));
        for (number, (line, kind)) in fences.enumerate() {
            let known: &[&str] = if number % 2 == 0 { &["sh", "text", "toml"] } else { &[""] };
            ensure!(line.starts_with("```") && known.contains(&kind), "{name}: {line}");
        }
        let unprompted =
            |line: &&str| ["sudo ", "fw-user ", "ssh ", "docker "].iter().any(|start| line.starts_with(start));
        let text = blocks(&page, "text").join("\n");
        ensure!(!text.lines().any(|line| unprompted(&line)), "{name}: a command without a prompt in a block of text");
    }
    Ok(())
}

/// The README says that this does not help who is locked out.
fn the_kernel_keeps_ip_from_taking_the_filter_off() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let line = readme.split('`').find(|span| span.ends_with(" xdp off")).context("the README names the command")?;
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.attach(Mode::Native, "22")?;
    ensure!(lab.pi.run(line).is_err(), "`{line}` says that it worked");
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)
}

/// A figure that somebody measured once is true until something changes. Those of docs/bench.md are written by the command that measures
/// them; any other that stands on a page follows from a constant, or is a fact about something else.
fn every_figure_is_the_programs_own() -> Result<()> {
    const FACTS: [(&str, &str); 4] = [
        ("20,000", "the bans that Auto_XDP's table holds, by its README"),
        ("16 KiB", "the pages of a Raspberry Pi 5's kernel"),
        ("32 ms", "the shortest moment for which drops are held back: 32 ticks at 1000 Hz"),
        ("320 ms", "the longest one: 32 ticks at 100 Hz"),
    ];
    let limits = MOST_VERIFIED.map(|(_, most)| most).into_iter().chain([u32::try_from(LARGEST_FRAME)?]);
    let networks =
        [MOST_NETWORKS, MOST_LISTS, MOST_PAIRS].map(u32::try_from).into_iter().collect::<Result<Vec<_>, _>>()?;
    let constants =
        [MAX_BANS, MAX_ATTEMPTS, DEFAULT_FLOWS, RARE_PORTS, KNOCKERS].into_iter().chain(networks).chain(limits);
    let mut known: BTreeSet<String> = FACTS.iter().map(|(figure, _)| (*figure).to_owned()).collect();
    known.extend(constants.map(with_commas));
    let mut found = BTreeSet::new();
    for (name, page) in pages::all(&root())? {
        if name.ends_with("docs/bench.md") {
            continue;
        }
        for figure in figures(&page) {
            ensure!(known.contains(&figure), "{name} says {figure}: who measures it, and writes it there?");
            found.insert(figure);
        }
    }
    assert_eq!(found, known, "which of those that are known stand on no page?");
    Ok(())
}

/// A number as pages have it: 65,536.
fn with_commas(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The numbers with commas and those with a unit in the sentences and tables of a page. What stands in blocks and between backticks is
/// typed, or is an example.
fn figures(page: &str) -> Vec<String> {
    const UNITS: [&str; 14] =
        ["ns", "µs", "ms", "%", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB", "Mpps", "Gbit/s", "instructions"];
    let prose: String = page.split("\n```").step_by(2).collect();
    let prose: String = prose.split('`').step_by(2).collect();
    let words: Vec<&str> =
        prose.split_whitespace().map(|word| word.trim_matches([',', '.', ';', ':', '(', ')'])).collect();
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let has_commas = |word: &str| {
        let mut groups = word.split(',');
        let is_first = groups.next().is_some_and(|group| (1..=3).contains(&group.len()) && is_number(group));
        is_first && word.contains(',') && groups.all(|group| group.len() == 3 && is_number(group))
    };
    let with_unit = words.windows(2).filter(|pair| is_number(pair[0]) && UNITS.contains(&pair[1]));
    let with_unit = with_unit.map(|pair| format!("{} {}", pair[0], pair[1]));
    words.iter().filter(|word| has_commas(word)).map(|word| (*word).to_owned()).chain(with_unit).collect()
}

fn every_reason_stands_in_the_manual_with_its_number() -> Result<()> {
    let manual = fs::read_to_string(root().join("docs/reasons.md"))?;
    let rows: BTreeSet<String> = manual
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .filter_map(|line| {
            line.split(" |").take(2).map(|cell| cell.trim_matches(['|', ' '])).collect::<Vec<_>>().join(" ").into()
        })
        .filter(|row| row.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let reasons: BTreeSet<String> =
        Reason::ALL.iter().map(|&reason| format!("{} `{}`", reason as u8, reason.name())).collect();
    assert_eq!(rows, reasons);
    Ok(())
}

/// `explain` describes each reason in the words of the manual.
fn every_reason_is_explained_in_the_words_of_the_manual() -> Result<()> {
    let manual = fs::read_to_string(root().join("docs/reasons.md"))?.replace('`', "");
    for &reason in Reason::ALL {
        let advice = reasons::advice(reason).map(|advice| format!(" {advice} |")).unwrap_or_default();
        let row = format!("| {} | {reason} | {} |{advice}", reason as u8, reasons::words(reason));
        ensure!(manual.lines().any(|line| line.starts_with(&row)), "docs/reasons.md lacks this row: {row}");
    }
    Ok(())
}

fn every_exit_code_stands_in_the_readme() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    for (code, meaning) in exit_code::ALL {
        ensure!(readme.contains(&format!("\n| {code} | {meaning} |\n")), "the README lacks {code}, {meaning}");
    }
    Ok(())
}

/// Every key that the commands print stands in backticks in the manual.
fn every_json_field_stands_in_the_manual() -> Result<()> {
    fn keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (key, value) in fields {
                    found.insert(key.clone());
                    // Its keys are the reasons, which have a page of their own.
                    if key != "reasons" {
                        keys(value, found);
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let lab = Lab::without_containers()?;
    let _served = lab.pi.serve_tcp(22)?;
    lab.fw(&["ban", "203.0.113.7"])?;
    let mut found = BTreeSet::new();
    for args in [
        &["attach", "eth0", "--allow", "22", "--json"][..],
        &["allow", "80", "--json"],
        &["deny", "80", "--json"],
        &["status", "--json"],
        &["stats", "--json"],
        &["explain", "80/tcp", "--json"],
        &["exposed", "--json"],
        &["save", "--json"],
        &["check", "--json"],
        &["attach", "eth0", "--allow", "80", "--monitor", "--json"],
        &["apply", "--json"],
        &["doctor", "eth0", "--json"],
        &["bans", "--json"],
        &["detach", "eth0", "--json"],
    ] {
        keys(&serde_json::from_str(&lab.fw(args)?)?, &mut found);
    }
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    keys(&serde_json::from_str(&lab.fw(&["drops", "--last", "--json"])?)?, &mut found);
    let manual = fs::read_to_string(root().join("docs/json.md"))?;
    let documented: BTreeSet<&str> = manual
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.trim_start_matches("interfaces[]").trim_start_matches('.').trim_end_matches("[]"))
        .collect();
    let missing: Vec<_> =
        found.iter().filter(|key| !documented.contains(key.as_str()) && *key != "interfaces").collect();
    ensure!(missing.is_empty(), "docs/json.md lacks {missing:?}");
    Ok(())
}

fn the_example_of_a_file_is_one_and_has_every_key() -> Result<()> {
    let manual = fs::read_to_string(root().join("docs/file.md"))?;
    let example = pages::example(&manual).context("docs/file.md has an example")?;
    let file = check::file(Path::new("example.toml"), example.to_owned());
    ensure!(file.mistakes.is_empty(), "{:#?}", file.mistakes);
    ensure!(file.is_for("eth0") && file.is_for("wlan0"), "{:?}", file.interfaces);
    for (key, _) in parse::KEYS {
        ensure!(example.contains(&format!("\n{key} = ")), "the example lacks {key}");
        ensure!(manual.contains(&format!("\n| `{key}` | ")), "the table lacks {key}");
    }
    // Its mistakes are those of the command.
    let (_, said) = manual.split_once("fw-user: 3 mistakes\n").context("docs/file.md shows mistakes")?;
    let (said, _) = said.split_once("```").context("which end")?;
    let bad =
        "interfaces = [\"eth0\"]\nallow = [\n    \"70000\",\n    \"22\", \"22@192.168.1.77/24\",\n]\nmonitr = true\n";
    let mistakes = check::file(Path::new("eth0.toml"), bad.to_owned()).mistakes;
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, said.lines().collect::<Vec<_>>());
    Ok(())
}

/// The blocks of a page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fences = page.split("\n```");
    let starting = fences.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    starting.collect()
}

fn every_file_on_a_page_is_one() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        for block in blocks(&page, "toml") {
            let file = check::file(Path::new("eth0.toml"), block.to_owned());
            ensure!(file.mistakes.is_empty(), "{name}: {:#?}", file.mistakes);
            count += 1;
        }
    }
    ensure!(count >= 2, "the pages have {count} files");
    Ok(())
}

/// To another page, and to a heading where one is named.
fn every_link_leads_somewhere() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        let here = Path::new(&name);
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { here.to_owned() } else { here.with_file_name(file) };
            ensure!(path.exists(), "{name} leads to {target}, which is not there");
            let text = if heading.is_empty() { String::new() } else { fs::read_to_string(path)? };
            let is_it = |line: &str| {
                let words = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#') && words.replace(' ', "-").replace(['`', ',', '.', ':'], "") == heading
            };
            ensure!(heading.is_empty() || text.lines().any(is_it), "{name} leads to {target}: no such heading");
            count += 1;
        }
    }
    ensure!(count >= 20, "the pages have {count} links");
    Ok(())
}

/// The README's way back in without the command.
fn removing_the_pin_by_hand_takes_the_filter_off() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let pin = readme
        .split('`')
        .find_map(|span| span.strip_prefix("sudo rm /sys/fs/bpf/"))
        .context("the README says which file to remove")?;
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.attach(Mode::Native, "22")?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    fs::remove_file(lab.fw.bpffs().join(pin))?;
    // The kernel takes its time over a link that only the pin held.
    wait::until(
        "the filter is off",
        || Ok((!lab.pi.run("ip -details link show eth0")?.contains("xdp")).then_some(())),
    )?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    // Leftovers are recognized and removed.
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}
