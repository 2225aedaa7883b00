//! Tests of the live screen on a terminal in memory, line by line, in many scenes and sizes.
#![cfg(feature = "screen")]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use fw_common::{
    PortProtocol::{Sctp, Tcp, Udp},
    Reason,
    abi::{Counter, PortCounter},
};
use fw_user::testing::{
    counters::Counters,
    meta::Mode,
    screen::{
        look::Look,
        model::{Model, ScreenCommand},
        reading::{FilterReading, InterfaceReading, Port, Reading},
        view,
    },
    sources::DropSource,
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};

const FULL: Look = Look { unicode: true, colour: true };
const PLAIN: Look = Look { unicode: false, colour: false };

/// An interface as in a reading of the kernel.
struct Interface {
    name: &'static str,
    generation: u64,
    monitors: bool,
    trial_ends_in: Option<u64>,
    open: BTreeSet<Port>,
    counters: Counters,
    without: Option<&'static str>,
    sources: Vec<DropSource>,
}

impl Interface {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            generation: 1,
            monitors: false,
            trial_ends_in: None,
            open: BTreeSet::from([(Tcp, 22)]),
            counters: Counters::default(),
            without: None,
            sources: Vec::new(),
        }
    }

    fn count(&mut self, reason: Reason, packets: u64) {
        let sum = self.counters.reasons.entry(reason).or_default();
        *sum = Counter { packets: sum.packets + packets, bytes: sum.bytes + 100 * packets };
    }

    /// As the kernel keeps it: the busiest first.
    fn meet(&mut self, source: &str, packets: u64, port: Port) {
        let source = source.parse().expect("an address");
        self.sources.retain(|known| known.source != source);
        let (at, reason) = (SystemTime::UNIX_EPOCH, Reason::ClosedPort);
        self.sources.push(DropSource { source, packets, at, port: Some(port), reason });
        self.sources.sort_by_key(|known| Reverse(known.packets));
    }

    fn knock(&mut self, port: Port, packets: u64) {
        let PortCounter { passed, dropped } = self.counters.ports.get(port);
        self.counters.ports.set(port, PortCounter { passed, dropped: dropped + packets });
        self.count(Reason::ClosedPort, packets);
    }
}

/// A screen and what feeds it.
struct Scene {
    model: Model,
    interfaces: Vec<Interface>,
    now: Instant,
}

impl Scene {
    fn new(interfaces: impl IntoIterator<Item = Interface>) -> Self {
        let services = BTreeMap::from([((Tcp, 23), "telnet".to_owned()), ((Udp, 53), "domain".to_owned())]);
        let model = Model::new(services);
        let mut scene = Self { model, interfaces: interfaces.into_iter().collect(), now: Instant::now() };
        scene.tick(0);
        scene
    }

    /// One `eth0` on which a few ports were knocked at, some of them 2 s ago and some now.
    fn with_knocks() -> Self {
        let mut eth0 = Interface::new("eth0");
        eth0.knock((Tcp, 23), 1000);
        let mut scene = Self::new([eth0]);
        let eth0 = &mut scene.interfaces[0];
        eth0.knock((Tcp, 9125), 40);
        eth0.knock((Udp, 53), 20);
        eth0.knock((Sctp, 7), 2);
        eth0.count(Reason::Allowed, 600);
        scene.tick(2);
        scene
    }

    fn tick(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let interfaces = self.interfaces.iter().map(|interface| InterfaceReading {
            name: interface.name,
            filter: match interface.without {
                Some(why) => Err(why),
                None => Ok(FilterReading {
                    generation: interface.generation,
                    mode: Mode::Native,
                    monitors: interface.monitors,
                    trial_ends_in: interface.trial_ends_in,
                    open: &interface.open,
                    counters: &interface.counters,
                    sources: &interface.sources,
                }),
            },
        });
        self.model.update(&Reading { at: self.now, flows: Some(1234), interfaces: interfaces.collect() });
    }

    fn draw(&self, columns: u16, lines: u16, look: Look) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("memory does not fail");
        terminal.draw(|frame| view::draw(frame, &self.model, look)).expect("memory does not fail");
        terminal.backend().buffer().clone()
    }

    fn lines(&self, columns: u16, lines: u16, look: Look) -> Vec<String> {
        let buffer = self.draw(columns, lines, look);
        let line = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..lines).map(line).collect()
    }

    fn text(&self, look: Look) -> String {
        self.lines(80, 24, look).join("\n")
    }

    /// The ports in their order on the screen.
    fn ports(&self) -> Vec<String> {
        let lines = self.lines(80, 24, PLAIN);
        let words = lines.iter().filter_map(|line| line.strip_prefix('|')?.split_whitespace().next());
        words
            .filter(|word| word.contains('/') && word.starts_with(|c: char| c.is_ascii_digit()))
            .map(str::to_owned)
            .collect()
    }

    fn obey(&mut self, commands: &[ScreenCommand]) {
        for &command in commands {
            self.model.obey(command);
        }
    }
}

/// The words of the line that has this word.
fn words_of<'a>(lines: &'a [String], word: &str) -> Vec<&'a str> {
    let line = lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {lines:#?}"));
    line.split(['│', '|', ' ']).filter(|word| !word.is_empty()).collect()
}

#[test]
fn everything_that_matters_fits_into_80x24() {
    let scene = Scene::with_knocks();
    let lines = scene.lines(80, 24, FULL);
    let text = lines.join("\n");
    for words in [
        "eth0  native mode  1234 flows",
        "passed 300/s  29.30 KiB/s  600 total",
        "dropped 31/s",
        "1062 total",
        "drops at 4 ports, by rate",
        "q quit   s sort   p pause   ? keys",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert_eq!(words_of(&lines, "9125/tcp")[..4], ["9125/tcp", "closed", "20", "40"]);
    assert_eq!(words_of(&lines, "23/tcp ")[..5], ["23/tcp", "(telnet)", "closed", "0", "1000"]);
    assert_eq!(words_of(&lines, "53/udp ")[..5], ["53/udp", "(domain)", "closed", "10", "20"]);
    assert!(words_of(&lines, "closed-port").ends_with(&["closed-port", "31", "1062"]));
    assert!(words_of(&lines, "allowed").ends_with(&["allowed", "300", "600"]));
}

#[test]
fn a_title_says_what_there_is_room_for_and_never_half_a_word() {
    let mut scene = Scene::with_knocks();
    scene.interfaces[0].count(Reason::ClosedPort, 123_456_789);
    scene.tick(1);
    let title = |scene: &Scene, columns| scene.lines(columns, 24, PLAIN)[1].clone();
    let whole = title(&scene, 120);
    assert!(whole.contains("+ dropped 123.5M/s  11.50 GiB/s  123.5M total -"), "{whole}");
    let narrower = title(&scene, 80);
    assert!(narrower.contains("+ dropped 123.5M/s  123.5M total -"), "{narrower}");
    assert!(narrower.starts_with("+ passed 0/s  0 B/s  600 total -"), "{narrower}");
    let narrow = title(&scene, 50);
    assert!(narrow.contains("+ dropped 123.5M/s -"), "{narrow}");
    scene.interfaces[0].monitors = true;
    scene.tick(1);
    let lines = scene.lines(80, 24, PLAIN);
    assert!(lines[2].contains("+ would drop 0/s  0 B/s  123.5M total -+"), "{lines:#?}");
}

/// The picture in the README is one of this screen: it contains the fixed texts.
#[test]
fn the_picture_has_the_words_of_the_screen() {
    let picture = include_str!("../../docs/screen.svg");
    let mut scene = Scene::with_knocks();
    scene.interfaces[0].meet("192.0.2.10", 1000, (Tcp, 23));
    scene.tick(1);
    let lines = scene.lines(100, 28, FULL);
    let is_head = |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase());
    let of =
        |line: &String| line.split(['│', '┌', '┐', '─', ' ', ':', ',']).filter(is_head).map(str::to_owned).collect();
    let heads = lines.iter().filter(|line| line.contains('┌') || line.contains("port     ") || line.contains("source"));
    let words: Vec<String> = heads.chain(lines.last()).chain(lines.first()).flat_map::<Vec<String>, _>(of).collect();
    assert!(words.len() > 30, "{words:?}");
    let missing: Vec<&String> = words.iter().filter(|word| !picture.contains(word.as_str())).collect();
    assert!(missing.is_empty(), "cargo xtask screenshot takes a new picture; in this one is no {missing:?}");
}

#[test]
fn a_larger_terminal_is_filled() {
    let scene = Scene::with_knocks();
    let lines = scene.lines(120, 40, FULL);
    assert!(lines[0].starts_with("eth0") && lines[0].trim_end().ends_with("fw-user stats"));
    assert!(lines[38].starts_with('└') && lines[38].ends_with('┘'), "{:?}", lines[38]);
    assert!(lines[39].starts_with("q quit"));
}

#[test]
fn no_size_is_too_small() {
    let mut scenes = [Scene::with_knocks(), Scene::new([]), Scene::new(["eth0", "eth1", "wlan0"].map(Interface::new))];
    scenes[2].interfaces[0].monitors = true;
    scenes[2].interfaces[0].trial_ends_in = Some(3);
    scenes[2].tick(1);
    for scene in &mut scenes {
        for help in [false, true] {
            for columns in [1, 2, 3, 10, 19, 20, 21, 29, 30, 31, 49, 50, 69, 70, 71, 90] {
                for lines in [1, 2, 3, 4, 5, 7, 10, 15, 16, 17, 24] {
                    scene.draw(columns, lines, FULL);
                }
            }
            assert_eq!(scene.text(FULL).contains("freezes the numbers"), help);
            scene.obey(&[ScreenCommand::Help]);
        }
    }
    let lines = scenes[0].lines(20, 5, PLAIN);
    assert!(lines[0].starts_with("eth0"), "{lines:#?}");
    assert!(lines[1].starts_with("passed 300/s"), "{lines:#?}");
    assert!(lines[4].starts_with("q quit"), "{lines:#?}");
    assert_eq!(scenes[0].lines(1, 1, PLAIN), ["e"]);
}

#[test]
fn a_locale_without_unicode_gets_ascii() {
    let mut scene = Scene::with_knocks();
    scene.interfaces.push(Interface::new("wlän0"));
    scene.tick(1);
    for help in [ScreenCommand::Help, ScreenCommand::Help] {
        let text = scene.text(PLAIN);
        assert!(text.is_ascii(), "{text}");
        scene.obey(&[help]);
    }
    let text = scene.text(PLAIN);
    assert!(text.contains("+ passed") && text.contains("wl?n0"), "{text}");
    // The sparkline's tallest bar: the rate was highest before.
    assert!(text.lines().any(|line| line.contains('#')), "{text}");
    assert!(!scene.text(FULL).is_ascii());
}

#[test]
fn without_colour_there_is_none_and_what_is_loud_stays_so() {
    let mut scene = Scene::with_knocks();
    scene.interfaces[0].monitors = true;
    scene.tick(1);
    let colours = |buffer: &Buffer| {
        buffer.content().iter().filter(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset)).count()
    };
    assert_eq!(colours(&scene.draw(80, 24, Look { colour: false, ..FULL })), 0);
    assert_ne!(colours(&scene.draw(80, 24, FULL)), 0);
    let buffer = scene.draw(80, 24, PLAIN);
    // The second line begins with " MONITOR ONLY ".
    assert!(buffer[(1, 1)].symbol() == "M" && buffer[(1, 1)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn the_environment_decides_how_it_looks() {
    for (variables, unicode, colour) in [
        (&[("LANG", "en_GB.UTF-8")][..], true, true),
        (&[("LANG", "C.utf8"), ("NO_COLOR", "1")], true, false),
        (&[("LANG", "C.UTF-8"), ("NO_COLOR", "")], true, true),
        (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], false, true),
        (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "")], true, true),
        (&[("LANG", "C"), ("LC_CTYPE", "de_DE.UTF-8")], true, true),
        (&[("LANG", "de_DE@euro")], false, true),
        (&[("LANG", "en_GB.UTF-8"), ("TERM", "linux")], false, true),
        (&[], false, true),
    ] {
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(Look::new(variable), Look { unicode, colour }, "{variables:?}");
    }
}

#[test]
fn monitor_and_trial_are_loud() {
    let mut scene = Scene::with_knocks();
    scene.interfaces[0].monitors = true;
    scene.interfaces[0].trial_ends_in = Some(42);
    scene.tick(1);
    let lines = scene.lines(80, 24, FULL);
    assert!(lines[1].starts_with(" MONITOR ONLY  nothing is dropped; `fw-user enforce`"), "{lines:#?}");
    assert!(lines[2].starts_with(" ON TRIAL  reverts in 42 s"), "{lines:#?}");
    let text = lines[3..].join("\n");
    assert!(text.contains("would drop") && !text.contains("dropped"), "{text}");
    // Also while the rest is paused.
    scene.obey(&[ScreenCommand::Pause]);
    scene.interfaces[0].monitors = false;
    scene.interfaces[0].trial_ends_in = Some(41);
    scene.tick(1);
    let lines = scene.lines(80, 24, FULL);
    assert!(lines[1].contains("in 41 s"), "{lines:#?}");
}

#[test]
fn ports_are_sorted_by_rate_by_total_and_by_number() {
    let mut scene = Scene::with_knocks();
    assert_eq!(scene.ports(), ["9125/tcp", "53/udp", "7/sctp", "23/tcp"]);
    scene.obey(&[ScreenCommand::Sort]);
    assert_eq!(scene.ports(), ["23/tcp", "9125/tcp", "53/udp", "7/sctp"]);
    assert!(scene.text(FULL).contains("by total"));
    scene.obey(&[ScreenCommand::Sort]);
    assert_eq!(scene.ports(), ["7/sctp", "23/tcp", "53/udp", "9125/tcp"]);
    scene.obey(&[ScreenCommand::Sort]);
    assert_eq!(scene.ports(), ["9125/tcp", "53/udp", "7/sctp", "23/tcp"]);
}

#[test]
fn the_busiest_of_all_ports_are_found() {
    let mut eth0 = Interface::new("eth0");
    for port in 0..=u16::MAX {
        eth0.knock((Tcp, port), 5);
        eth0.knock((Udp, port), 5);
    }
    let mut scene = Scene::new([eth0]);
    let eth0 = &mut scene.interfaces[0];
    for port in 0..=u16::MAX {
        eth0.knock((Tcp, port), 1);
    }
    eth0.knock((Udp, 60_000), 3);
    eth0.knock((Tcp, 65_535), 2);
    scene.tick(1);
    assert_eq!(scene.ports()[..4], ["60000/udp", "65535/tcp", "0/tcp", "1/tcp"]);
    assert!(scene.text(FULL).contains("drops at 131072 ports"));
    // As many as there is room for, and no more.
    assert_eq!(scene.ports().len(), 24 - 1 - 5 - 3 - 1);
}

#[test]
fn a_port_that_was_opened_meanwhile_is_shown_as_open() {
    let mut scene = Scene::with_knocks();
    scene.interfaces[0].open.insert((Tcp, 9125));
    scene.tick(1);
    assert_eq!(words_of(&scene.lines(80, 24, FULL), "9125/tcp")[..4], ["9125/tcp", "open", "0", "40"]);
}

#[test]
fn ports_are_called_after_who_would_be_met_there() {
    let mut scene = Scene::with_knocks();
    let names = [((Tcp, 9125), "container web"), ((Udp, 53), "dnsmasq"), ((Sctp, 7), "\u{1b}[31mbad")];
    scene.model.name_targets(BTreeMap::from(names.map(|(port, name)| (port, name.to_owned()))));
    let lines = scene.lines(80, 24, FULL);
    assert_eq!(words_of(&lines, "9125/tcp")[..3], ["9125/tcp", "container", "web"]);
    assert_eq!(words_of(&lines, "53/udp ")[..2], ["53/udp", "dnsmasq"]);
    assert_eq!(words_of(&lines, "23/tcp ")[..2], ["23/tcp", "(telnet)"]);
    assert_eq!(words_of(&lines, "7/sctp")[..2], ["7/sctp", "?[31mbad"]);
}

#[test]
fn who_knocks_is_sorted_by_rate_and_by_total() {
    let mut scene = Scene::with_knocks();
    let eth0 = &mut scene.interfaces[0];
    eth0.meet("192.0.2.10", 1000, (Tcp, 23));
    eth0.meet("2001:db8:1:0:a8bb:ccff:fedd:eeff", 20, (Udp, 53));
    scene.tick(2);
    let eth0 = &mut scene.interfaces[0];
    eth0.meet("2001:db8:1:0:a8bb:ccff:fedd:eeff", 40, (Tcp, 9125));
    eth0.meet("198.51.100.7", 6, (Sctp, 7));
    scene.tick(2);
    let order = |scene: &Scene| {
        let lines = scene.lines(140, 30, PLAIN);
        let sources = ["192.0.2.10", "2001:db8:1:0:", "198.51.100.7"];
        let place = |source: &str| lines.iter().position(|line| line.contains(source)).expect("all of them are shown");
        let mut places = sources.map(|source| (place(source), source));
        places.sort_unstable();
        places.map(|(_, source)| source)
    };
    assert_eq!(order(&scene), ["2001:db8:1:0:", "198.51.100.7", "192.0.2.10"]);
    let lines = scene.lines(140, 30, FULL);
    assert!(words_of(&lines, "198.51.100.7").ends_with(&["198.51.100.7", "7/sctp", "3", "6"]), "{lines:#?}");
    let words = words_of(&lines, "2001:db8:1:0:");
    assert!(words.ends_with(&["2001:db8:1:0:\u{2026}ff:fedd:eeff", "9125/tcp", "10", "40"]), "{words:?}");
    // Where it is narrow, both ends of a long address, and not where it knocked.
    let lines = scene.lines(80, 24, PLAIN);
    assert!(words_of(&lines, "2001:db8").ends_with(&["2001:db8~dd:eeff", "10", "40"]), "{lines:#?}");
    assert!(words_of(&lines, "192.0.2.10").ends_with(&["192.0.2.10", "0", "1000"]), "{lines:#?}");
    scene.obey(&[ScreenCommand::Sort]);
    assert_eq!(order(&scene), ["192.0.2.10", "2001:db8:1:0:", "198.51.100.7"]);
}

#[test]
fn a_pause_freezes_the_numbers() {
    let mut scene = Scene::with_knocks();
    let before = scene.lines(80, 24, FULL);
    scene.obey(&[ScreenCommand::Pause]);
    scene.interfaces[0].knock((Tcp, 9125), 60);
    scene.tick(2);
    let paused = scene.lines(80, 24, FULL);
    assert!(paused[0].contains("PAUSED"), "{}", paused[0]);
    assert_eq!(paused[1..], before[1..]);
    // Afterwards the rate is that of the whole time since the last numbers.
    scene.obey(&[ScreenCommand::Pause]);
    scene.tick(1);
    let lines = scene.lines(80, 24, FULL);
    assert_eq!(words_of(&lines, "9125/tcp")[2..4], ["20", "100"]);
}

#[test]
fn several_interfaces_are_a_list_of_which_one_is_chosen() {
    let mut scene = Scene::new(["eth0", "wlan0"].map(Interface::new));
    scene.interfaces[0].knock((Tcp, 23), 10);
    scene.interfaces[1].knock((Udp, 53), 30);
    scene.tick(1);
    let lines = scene.lines(80, 24, FULL);
    assert!(lines[1].starts_with("> eth0") && lines[1].contains("dropped     10/s"), "{lines:#?}");
    assert!(lines[2].starts_with("  wlan0") && lines[2].contains("dropped     30/s"), "{lines:#?}");
    assert!(lines[23].contains("tab interface"), "{lines:#?}");
    assert_eq!(scene.ports(), ["23/tcp"]);
    scene.obey(&[ScreenCommand::NextInterface]);
    assert_eq!(scene.ports(), ["53/udp"]);
    assert!(scene.text(FULL).starts_with("wlan0"));
    // The selection is a name, not a position.
    scene.interfaces.insert(0, Interface::new("eno1"));
    scene.tick(1);
    assert!(scene.text(FULL).starts_with("wlan0"));
    scene.obey(&[ScreenCommand::NextInterface, ScreenCommand::PreviousInterface, ScreenCommand::PreviousInterface]);
    assert!(scene.text(FULL).starts_with("eth0"));
    scene.interfaces.remove(1);
    scene.tick(1);
    assert!(scene.text(FULL).starts_with("eno1"));
}

#[test]
fn the_chosen_of_many_interfaces_is_in_sight() {
    const NAMES: [&str; 9] = ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"];
    let mut scene = Scene::new(NAMES.map(Interface::new));
    for name in NAMES {
        assert!(scene.text(FULL).contains(&format!("> {name}")), "{name} is not in sight");
        scene.obey(&[ScreenCommand::NextInterface]);
    }
}

#[test]
fn a_filter_that_is_taken_off_leaves_its_last_numbers() {
    let mut scene = Scene::with_knocks();
    scene.interfaces[0].without = Some("fw is not attached to eth0");
    scene.tick(1);
    let lines = scene.lines(80, 24, FULL);
    assert!(lines[1].contains("fw is not attached to eth0; these are its last numbers"), "{lines:#?}");
    assert_eq!(words_of(&lines, "9125/tcp")[2..4], ["20", "40"]);
    // Attached anew, it counts from zero, and that is no negative rate.
    scene.interfaces[0] = Interface { generation: 2, ..Interface::new("eth0") };
    scene.interfaces[0].knock((Udp, 53), 50);
    scene.tick(1);
    let lines = scene.lines(80, 24, FULL);
    assert_eq!(scene.ports(), ["53/udp"]);
    assert_eq!(words_of(&lines, "53/udp")[3..5], ["0", "50"]);
    scene.interfaces[0].knock((Udp, 53), 5);
    scene.tick(1);
    assert_eq!(words_of(&scene.lines(80, 24, FULL), "53/udp")[3..5], ["5", "55"]);
}

#[test]
fn without_any_filter_the_screen_waits_for_one() {
    let mut scene = Scene::new([]);
    assert!(scene.text(FULL).contains("no interface has a filter"));
    scene.interfaces.push(Interface::new("eth0"));
    scene.tick(1);
    assert!(scene.text(FULL).starts_with("eth0"));
}

#[test]
fn rates_become_sparklines_with_the_latest_to_the_right() {
    let mut scene = Scene::new([Interface::new("eth0")]);
    for packets in [0, 0, 80, 40, 10] {
        scene.interfaces[0].count(Reason::Allowed, packets);
        scene.tick(1);
    }
    let lines = scene.lines(80, 24, FULL);
    // The frame of what passed is the left half; its three lines hold the bars.
    let bottom: Vec<char> = lines[4].chars().take(39).collect();
    let top: Vec<char> = lines[2].chars().take(39).collect();
    assert_eq!(bottom[36..39], ['█', '█', '▃'], "{lines:#?}");
    assert_eq!(top[36..39], ['█', ' ', ' '], "{lines:#?}");
}
