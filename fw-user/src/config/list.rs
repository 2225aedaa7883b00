//! A list of strings in a file, whose entries change while every comment stays.

use toml_edit::{Array, InlineTable, Value};

use crate::config::parse::{COMMENT, RULE};

/// The indentation of entries without a line before them to copy.
const INDENT: &str = "    ";

/// The entries, and the text before each and after the last one: blanks, line ends, comments. A change of many entries is one walk.
#[derive(Debug)]
pub(crate) struct List {
    entries: Vec<Value>,
    gaps: Vec<String>,
    /// How many gaps have a line end.
    line_ends: usize,
    /// The indentation of the last entry that begins a line.
    indent: String,
    trailing_comma: bool,
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Stays,
    /// These words take its place; without any it is removed.
    Becomes(Vec<String>),
}

impl List {
    /// Take a list apart.
    #[must_use]
    pub(crate) fn new(array: &Array) -> Self {
        let text = |raw: Option<&toml_edit::RawString>| raw.and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
        let mut gaps = Vec::new();
        let mut after_last = String::new();
        let starts = array.iter().map(|value| text(value.decor().prefix())).chain([text(Some(array.trailing()))]);
        let ends = array.iter().map(|value| text(value.decor().suffix())).map(Some).chain([None]);
        for (start, end) in starts.zip(ends) {
            // Move the text between an entry and its comma to after the comma. Before a bracket only blanks matter.
            let is_needed = after_last.contains(['#', '\n']) || start.is_empty() && end.is_none();
            gaps.push(if is_needed { after_last + &start } else { start });
            after_last = end.unwrap_or_default();
        }
        let line_ends = gaps.iter().filter(|gap| gap.contains('\n')).count();
        let mut before_entries = gaps[..array.len()].iter().rev();
        let indent = before_entries.find_map(|gap| Some(gap.rsplit_once('\n')?.1)).unwrap_or(INDENT).to_owned();
        let entries = array.iter().cloned().collect();
        Self { entries, gaps, line_ends, indent, trailing_comma: array.trailing_comma() }
    }

    /// Put it together again.
    #[must_use]
    pub(crate) fn into_array(mut self) -> Array {
        let is_multiline = self.line_ends > 0;
        let trailing = self.gaps.pop().unwrap_or_default();
        let mut array = Array::new();
        for (mut entry, gap) in self.entries.into_iter().zip(self.gaps) {
            *entry.decor_mut() = toml_edit::Decor::new(gap, "");
            array.push_formatted(entry);
        }
        array.set_trailing(trailing);
        array.set_trailing_comma(is_multiline || self.trailing_comma);
        array
    }

    /// The text of each entry, which is a string or a table with a comment: all, in a file without mistakes.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| entry.as_str().or_else(|| entry.as_inline_table()?.get(RULE)?.as_str()))
    }

    /// Give an entry this comment, or none.
    pub(crate) fn set_comment(&mut self, index: usize, comment: Option<&str>) {
        let entry = &mut self.entries[index];
        match (entry.as_inline_table_mut(), comment) {
            (None, None) => {}
            (Some(table), Some(comment)) => {
                if table.get(COMMENT).and_then(Value::as_str) != Some(comment) {
                    table.insert(COMMENT, comment.into());
                }
            }
            (Some(table), None) => {
                if let Some(rule) = table.get(RULE).and_then(Value::as_str).map(Value::from) {
                    *entry = rule;
                }
            }
            (None, Some(comment)) => {
                let mut table = InlineTable::new();
                table.insert(RULE, entry.as_str().unwrap_or_default().into());
                table.insert(COMMENT, comment.into());
                *entry = table.into();
            }
        }
    }

    /// Give each entry its fate.
    pub(crate) fn rewrite(&mut self, fates: impl IntoIterator<Item = Fate>) {
        let entries = std::mem::take(&mut self.entries);
        let mut gaps = std::mem::take(&mut self.gaps).into_iter();
        self.gaps.extend(gaps.next());
        for ((entry, after), fate) in entries.into_iter().zip(gaps).zip(fates) {
            let words = match fate {
                Fate::Stays => {
                    self.entries.push(entry);
                    self.gaps.push(after);
                    continue;
                }
                Fate::Becomes(words) => words,
            };
            let Some((first, more)) = words.split_first() else {
                self.join(&after);
                continue;
            };
            self.entries.push(first.into());
            self.gaps.push(after);
            for word in more {
                self.push(word);
            }
        }
    }

    /// Add an entry at the end. A comment on the line of the entry before stays there.
    pub(crate) fn push(&mut self, word: &str) {
        let gap = self.pop_gap();
        let (before, after) = if self.line_ends > 0 || gap.contains('\n') {
            let (line, rest) = gap.split_at(gap.find('\n').unwrap_or(gap.len()));
            let rest = if rest.is_empty() { "\n" } else { rest };
            (format!("{}\n{}", line.trim_end(), self.indent), rest.to_owned())
        } else if self.entries.is_empty() {
            (gap, String::new())
        } else {
            (" ".to_owned(), gap)
        };
        self.entries.push(word.into());
        self.push_gap(before);
        self.push_gap(after);
    }

    /// Join the last gap with the one after an entry that is removed between them. A comment on its line gets a line of its own, because it does
    /// not belong to another entry.
    fn join(&mut self, after: &str) {
        self.line_ends -= usize::from(after.contains('\n'));
        let mut gap = self.pop_gap();
        let own_comment = after.lines().next().is_some_and(|line| line.contains('#'));
        if own_comment {
            if !gap.contains('\n') {
                gap = format!("\n{INDENT}");
            }
            gap.push_str(after.trim_start_matches([' ', '\t']));
        } else if !self.entries.is_empty() || gap.contains('#') || after.contains('\n') {
            gap.truncate(gap.trim_end().len());
            gap.push_str(after);
        }
        self.push_gap(gap);
    }

    fn pop_gap(&mut self) -> String {
        let gap = self.gaps.pop().unwrap_or_default();
        self.line_ends -= usize::from(gap.contains('\n'));
        gap
    }

    fn push_gap(&mut self, gap: String) {
        self.line_ends += usize::from(gap.contains('\n'));
        self.gaps.push(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list on one line, or with an entry a line.
    fn list(count: usize, line: &str) -> List {
        let entries: Vec<String> = (0..count).map(|n| format!("{line}\"{n}\"")).collect();
        let value: Value = format!("[{}]", entries.join(",")).parse().expect("a list");
        List::new(value.as_array().expect("a list"))
    }

    /// Every third entry goes, every third becomes two, and as many are added.
    fn changed(count: usize, line: &str) -> String {
        let mut list = list(count, line);
        let fate = |n: usize| match n % 3 {
            0 => Fate::Becomes(Vec::new()),
            1 => Fate::Becomes(vec![format!("{n}a"), format!("{n}b")]),
            _ => Fate::Stays,
        };
        list.rewrite((0..count).map(fate));
        (0..count).for_each(|n| list.push(&format!("{n}c")));
        list.into_array().to_string()
    }

    #[test]
    fn a_list_stays_on_its_line_or_lines() {
        assert_eq!(changed(4, " "), r#"[ "1a", "1b", "2", "0c", "1c", "2c", "3c"]"#);
        assert_eq!(
            changed(4, "\n  "),
            "[\n  \"1a\",\n  \"1b\",\n  \"2\",\n  \"0c\",\n  \"1c\",\n  \"2c\",\n  \"3c\",\n]"
        );
    }

    /// Seconds in a debug build. If each change moved or read the rest of the list, it would take a quarter of an hour or more.
    #[test]
    fn a_change_of_many_entries_is_one_walk() {
        const COUNT: usize = 300_000;
        for line in ["", "\n"] {
            assert_eq!(changed(COUNT, line).matches(',').count(), COUNT * 2 - usize::from(line.is_empty()));
        }
    }
}
