//! Parses the text of a file into words: TOML, known keys, the right types. Their meaning is checked later.

use std::{ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::error::{Mistake, place};

/// The keys, each with an example of its value.
pub const KEYS: [(&str, &str); 13] = [
    ("interfaces", r#"["eth0"]"#),
    ("except", r#"["wg0"]"#),
    ("allow", r#"["22", "80/tcp"]"#),
    ("limit", r#"["22/tcp=6/30s"]"#),
    ("deny", r#"["22@192.168.1.77"]"#),
    ("allow-proto", r#"["gre"]"#),
    ("forward", r#"["10.8.0.0/24"]"#),
    ("refuse", r#""lan""#),
    ("mode", r#""auto""#),
    ("flows", "65536"),
    ("replies", "true"),
    ("monitor", "false"),
    ("timeouts", r#"{ udp = "15m" }"#),
];

/// The keys of `timeouts`.
pub const TIMEOUTS: [&str; 3] = ["udp", "udp-stream", "tcp"];

/// The words of a file, each with its place.
#[derive(Debug, Default)]
pub struct Words {
    /// The interfaces, by name or by pattern.
    pub interfaces: Option<Spanned<Vec<Spanned<String>>>>,
    /// The exceptions of patterns.
    pub except: Option<Spanned<Vec<Spanned<String>>>>,
    /// The allow list.
    pub allow: Option<Spanned<Vec<RuleWords>>>,
    /// The limits.
    pub limit: Option<Spanned<Vec<RuleWords>>>,
    /// The refusals.
    pub deny: Option<Spanned<Vec<RuleWords>>>,
    /// The protocols.
    pub allow_proto: Vec<Spanned<String>>,
    /// `drop` or `pass`, or networks.
    pub forward: Option<ForwardWords>,
    /// `nobody` or `lan`.
    pub refuse: Option<Spanned<String>>,
    /// `auto`, `native` or `generic`.
    pub mode: Option<Spanned<String>>,
    /// A number.
    pub flows: Option<Spanned<i64>>,
    /// Whether replies are tracked.
    pub replies: Option<bool>,
    /// Whether nothing is dropped.
    pub monitor: Option<bool>,
    /// The timeouts, in the order of [`TIMEOUTS`].
    pub timeouts: [Option<Spanned<String>>; TIMEOUTS.len()],
}

/// An entry of the lists of rules: a string, or a table with a comment.
#[derive(Debug)]
pub struct RuleWords {
    /// The rule.
    pub rule: Spanned<String>,
    /// Its comment.
    pub comment: Option<Spanned<String>>,
}

/// The value of `forward` in a file.
#[derive(Debug)]
pub enum ForwardWords {
    /// A verdict, or networks with commas between them, as on the command line.
    Verdict(Spanned<String>),
    /// Networks, each by itself.
    Networks(Vec<Spanned<String>>),
}

/// Mistakes of one file, as they are found.
#[derive(Debug)]
pub struct Notes<'a> {
    path: &'a Path,
    text: &'a str,
    mistakes: Vec<Mistake>,
    unreadable: Vec<usize>,
}

impl<'a> Notes<'a> {
    /// None yet.
    #[must_use]
    pub const fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text, mistakes: Vec::new(), unreadable: Vec::new() }
    }

    /// Add a mistake, unless its line is invalid TOML: guesses about such a line are useless.
    pub fn add(&mut self, span: Range<usize>, what: impl Into<String>) {
        let mistake = Mistake::new(self.path, self.text, span.start, what);
        if !self.unreadable.contains(&mistake.line) {
            self.mistakes.push(mistake);
        }
    }

    fn add_syntax(&mut self, error: &toml::de::Error) {
        let at = error.span().map_or(self.text.len(), |span| span.start);
        let (line, _) = place(self.text, at);
        // Later mistakes in the same line are consequences of the first.
        if !self.unreadable.contains(&line) {
            self.add(at..at, format!("invalid TOML: {}", error.message()));
            self.unreadable.push(line);
        }
    }

    /// All of them, in the order of the text.
    #[must_use]
    pub fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_unstable();
        self.mistakes
    }
}

/// Read a text.
pub fn parse(text: &str, notes: &mut Notes<'_>) -> Words {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        notes.add_syntax(error);
    }
    let mut words = Words::default();
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "interfaces" => words.interfaces = strings("interfaces", value, notes),
            "except" => words.except = strings("except", value, notes),
            "allow" => words.allow = rules("allow", value, notes),
            "limit" => words.limit = rules("limit", value, notes),
            "deny" => words.deny = rules("deny", value, notes),
            "allow-proto" => {
                words.allow_proto = strings("allow-proto", value, notes).map(Spanned::into_inner).unwrap_or_default();
            }
            "forward" => {
                words.forward = match value.get_ref() {
                    DeValue::Array(_) => {
                        strings("forward", value, notes).map(|list| ForwardWords::Networks(list.into_inner()))
                    }
                    _ => string("forward", value, notes).map(ForwardWords::Verdict),
                };
            }
            "refuse" => words.refuse = string("refuse", value, notes),
            "mode" => words.mode = string("mode", value, notes),
            "flows" => words.flows = number("flows", value, notes),
            "replies" => words.replies = boolean("replies", value, notes),
            "monitor" => words.monitor = boolean("monitor", value, notes),
            "timeouts" => words.timeouts = timeouts(value, notes),
            unknown => notes.add(key.span(), unknown_key(unknown)),
        }
    }
    // If the text is invalid TOML, an existing key may seem to be missing.
    if errors.is_empty() {
        note_what_is_missing(table.get_ref(), notes);
    }
    words
}

fn note_what_is_missing(table: &DeTable<'_>, notes: &mut Notes<'_>) {
    const NAME_IT: &str = r#"which would close every port; name what shall stay open: allow = ["22"]"#;
    let has_limits = table.get("limit").is_some_and(|limits| !is_empty(limits));
    match table.get("allow").filter(|allow| !is_empty(allow) || !has_limits) {
        None if has_limits => {}
        None => notes.add(0..0, format!("there is no allow list, {NAME_IT}")),
        Some(allow) if is_empty(allow) => notes.add(allow.span(), format!("the allow list is empty, {NAME_IT}")),
        Some(_) => {}
    }
    if let Some(interfaces) = table.get("interfaces").filter(|value| is_empty(value)) {
        notes.add(interfaces.span(), "the list of interfaces is empty; name them, or leave `interfaces` out");
    }
    if let Some(networks) = table.get("forward").filter(|value| is_empty(value)) {
        notes.add(networks.span(), "the list of networks is empty; name them, or write forward = \"drop\"");
    }
}

fn is_empty(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().as_array().is_some_and(|array| array.is_empty())
}

fn timeouts(value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> [Option<Spanned<String>>; TIMEOUTS.len()] {
    let mut timeouts = [const { None }; TIMEOUTS.len()];
    let Some(table) = value.get_ref().as_table() else {
        wrong_type("timeouts", value, notes);
        return timeouts;
    };
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let Some(index) = TIMEOUTS.iter().position(|known| *known == name) else {
            notes.add(key.span(), format!("there is no timeout `{name}`; there are {}", TIMEOUTS.join(", ")));
            continue;
        };
        match value.get_ref().as_str() {
            Some(text) => timeouts[index] = Some(Spanned::new(value.span(), text.to_owned())),
            None => {
                notes.add(value.span(), format!("write a timeout in quotes and with its unit: {name} = \"15m\""));
            }
        }
    }
    timeouts
}

/// What to write instead of an unknown key.
fn unknown_key(key: &str) -> String {
    let similarity = |known: &str| strsim::jaro_winkler(&key.to_lowercase().replace('_', "-"), known);
    let nearest = KEYS.iter().map(|(known, _)| (*known, similarity(known))).max_by(|a, b| a.1.total_cmp(&b.1));
    match nearest {
        Some((known, similarity)) if similarity > 0.8 => format!("there is no key `{key}`; write `{known}`"),
        _ => {
            let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
            format!("there is no key `{key}`; the keys are {}", known.join(", "))
        }
    }
}

fn wrong_type(key: &str, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) {
    let example = KEYS.iter().find(|(known, _)| *known == key).map_or("", |(_, example)| example);
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    notes.add(value.span(), format!("the value of `{key}` is {found}; write for example {key} = {example}"));
}

fn strings(key: &str, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<Spanned<Vec<Spanned<String>>>> {
    let Some(array) = value.get_ref().as_array() else {
        wrong_type(key, value, notes);
        return None;
    };
    let mut strings = Vec::new();
    for item in array {
        strings.extend(entry(key, item, notes));
    }
    Some(Spanned::new(value.span(), strings))
}

fn entry(key: &str, item: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<Spanned<String>> {
    match item.get_ref() {
        DeValue::String(text) => return Some(Spanned::new(item.span(), text.as_ref().to_owned())),
        DeValue::Integer(number) => {
            notes.add(item.span(), format!("write the entries of `{key}` in quotes: \"{number}\""));
        }
        _ => notes.add(item.span(), format!("an entry of `{key}` is a string; write it in quotes")),
    }
    None
}

/// The keys of a rule that is a table.
pub const RULE: &str = "rule";
/// The same.
pub const COMMENT: &str = "comment";

fn rules(key: &str, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<Spanned<Vec<RuleWords>>> {
    let Some(array) = value.get_ref().as_array() else {
        wrong_type(key, value, notes);
        return None;
    };
    let rules = array.iter().filter_map(|item| match item.get_ref() {
        DeValue::Table(table) => rule_with_comment(item.span(), table, notes),
        _ => Some(RuleWords { rule: entry(key, item, notes)?, comment: None }),
    });
    Some(Spanned::new(value.span(), rules.collect()))
}

fn rule_with_comment(span: Range<usize>, table: &DeTable<'_>, notes: &mut Notes<'_>) -> Option<RuleWords> {
    let (mut rule, mut comment) = (None, None);
    let mut has_rule = false;
    for (key, value) in table {
        let of_key = match key.get_ref().as_ref() {
            RULE => {
                has_rule = true;
                &mut rule
            }
            COMMENT => &mut comment,
            unknown => {
                notes.add(key.span(), format!("a rule has no key `{unknown}`; it has rule and comment"));
                continue;
            }
        };
        match value.get_ref().as_str() {
            Some(text) => *of_key = Some(Spanned::new(value.span(), text.to_owned())),
            None => notes.add(value.span(), format!("write the {} in quotes", key.get_ref())),
        }
    }
    if !has_rule {
        notes.add(span, "the rule is missing; write for example { rule = \"80/tcp\", comment = \"web\" }");
    }
    Some(RuleWords { rule: rule?, comment })
}

fn string(key: &str, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<Spanned<String>> {
    let text = value.get_ref().as_str().map(|text| Spanned::new(value.span(), text.to_owned()));
    if text.is_none() {
        wrong_type(key, value, notes);
    }
    text
}

fn number(key: &str, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<Spanned<i64>> {
    let Some(integer) = value.get_ref().as_integer() else {
        wrong_type(key, value, notes);
        return None;
    };
    // A value that does not fit is out of every range.
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX);
    Some(Spanned::new(value.span(), number))
}

fn boolean(key: &str, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<bool> {
    let truth = value.get_ref().as_bool();
    if truth.is_none() {
        wrong_type(key, value, notes);
    }
    truth
}
