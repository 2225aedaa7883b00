//! The output of the demo: every block ends with an empty line. anstream adds colour only on terminals, and not if `NO_COLOR` is set.

use anstream::println;
use anstyle::{AnsiColor, Style};

const TITLE: Style = Style::new().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();
const OUTPUT: Style = Style::new().dimmed();

/// How good the news is.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    /// As a careful owner wants it.
    Good,
    /// Not so.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
        }
        .bold()
    }
}

/// Begin the next step.
pub(super) fn step(number: usize, title: &str) {
    println!("{TITLE}{number}. {title}{TITLE:#}\n");
}

/// Explain.
pub(super) fn say(text: &str) {
    println!("{text}\n");
}

/// Show what is typed.
pub(super) fn command(machine: &str, line: &str) {
    println!("    {COMMAND}{machine}# {line}{COMMAND:#}");
}

/// Show what a command said.
pub(super) fn output(text: &str) {
    for line in text.trim_end().lines() {
        println!("    {OUTPUT}{}{OUTPUT:#}", line.replace('\t', "    "));
    }
    println!();
}

/// Print the result of an attempt, and its meaning.
pub(super) fn finding(attempt: &str, answer: &str, means: &str, tone: Tone) {
    let style = tone.style();
    println!("    {attempt:<32}  {answer:<32}  {style}{means}{style:#}");
}

/// End a block of findings.
pub(super) fn gap() {
    println!();
}
