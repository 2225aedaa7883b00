//! The manual page of the file format, fw-user.toml(5): docs/file.md as roff.

use clap_mangen::roff::{Inline, Roff, bold, roman};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The destination of the next text.
#[derive(Default)]
struct Writer {
    roff: Roff,
    words: Vec<Inline>,
    /// The cells of a table's row that are read already.
    cells: Vec<Vec<Inline>>,
    /// The titles of that table's columns.
    columns: Vec<String>,
    is_code: bool,
    is_title: bool,
}

/// The page, as of a date.
pub(super) fn page(markdown: &str, date: &str) -> String {
    let mut writer = Writer::default();
    writer.roff.control("TH", ["fw-user.toml", "5", date, "fw-user", "Firewall"]);
    writer.roff.control("SH", ["NAME"]);
    writer.roff.text([roman("fw-user.toml - the file with the rules of an interface")]);
    writer.roff.control("SH", ["DESCRIPTION"]);
    Parser::new_ext(markdown, Options::ENABLE_TABLES).for_each(|event| writer.write(event));
    writer.roff.control("SH", ["SEE ALSO"]);
    writer.roff.text([
        bold("fw-user"),
        roman("(8), "),
        bold("fw-user-apply"),
        roman("(8), "),
        bold("fw-user-check"),
        roman("(8)"),
    ]);
    writer.roff.to_roff()
}

impl Writer {
    fn write(&mut self, event: Event<'_>) {
        match event {
            // The title is the page's name.
            Event::Start(Tag::Heading { level, .. }) => self.is_title = level == pulldown_cmark::HeadingLevel::H1,
            Event::End(TagEnd::Heading(_)) => {
                let words = std::mem::take(&mut self.words);
                if !std::mem::take(&mut self.is_title) {
                    self.roff.control("SH", [plain(&words).to_uppercase().as_str()]);
                }
            }
            Event::Start(Tag::Paragraph) => {
                self.roff.control("PP", []);
            }
            Event::Start(Tag::Item) => {
                self.roff.control("IP", ["\\(bu", "2"]);
            }
            Event::Start(Tag::CodeBlock(_)) => {
                self.is_code = true;
                self.roff.control("PP", []);
                self.roff.control("nf", []);
            }
            Event::End(TagEnd::CodeBlock) => {
                self.is_code = false;
                self.roff.control("fi", []);
            }
            Event::End(TagEnd::TableCell) => self.cells.push(std::mem::take(&mut self.words)),
            Event::End(TagEnd::TableHead) => {
                self.columns = self.cells.drain(..).map(|cell| plain(&cell)).collect();
            }
            Event::End(TagEnd::TableRow) => self.row(),
            Event::End(TagEnd::Paragraph | TagEnd::Item) => self.flush(),
            Event::Text(text) if self.is_code => {
                for line in text.lines() {
                    self.roff.text([roman(line)]);
                }
            }
            Event::Text(text) => self.words.push(roman(text.to_string())),
            Event::Code(text) => self.words.push(bold(text.to_string())),
            Event::SoftBreak | Event::HardBreak => self.words.push(roman(" ")),
            _ => {}
        }
    }

    /// A row: what it is called, and the other cells behind it.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter().zip(&self.columns);
        self.roff.control("TP", []);
        self.roff.text(cells.next().map(|(cell, _)| cell).unwrap_or_default());
        let mut words = Vec::new();
        for (cell, column) in cells.filter(|(cell, _)| !cell.is_empty()) {
            if !words.is_empty() {
                words.push(roman(format!("; {column}: ")));
            }
            words.extend(cell);
        }
        self.roff.text(words);
    }

    fn flush(&mut self) {
        if !self.words.is_empty() {
            self.roff.text(std::mem::take(&mut self.words));
        }
    }
}

fn plain(words: &[Inline]) -> String {
    let text = |word: &Inline| match word {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.clone(),
        Inline::LineBreak => " ".to_owned(),
    };
    words.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_list_and_a_block_stays_as_it_is() {
        let page = page(
            "# T\n\nOne `word`\nmore.\n\n| key | value | default |\n|---|---|---|\n| `a` | what | none |\n\n## Two\n\n```toml\nx = 1\n```\n",
            "2026-01-01",
        );
        for piece in
            ["One \\fBword\\fR more.", ".TP\n\\fBa\\fR\nwhat; default: none\n", ".SH TWO\n.PP\n.nf\nx = 1\n.fi\n"]
        {
            assert!(page.contains(piece), "{piece:?} in {page}");
        }
    }
}
