//! A list of strings in a file, whose entries change while every comment stays.

use toml_edit::{Array, Value};

/// The indentation of entries without a line before them to copy.
const INDENT: &str = "    ";

/// The entries, and the text before each and after the last one: blanks, line ends, comments.
#[derive(Debug)]
pub(crate) struct List {
    entries: Vec<Value>,
    gaps: Vec<String>,
    trailing_comma: bool,
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
        Self { entries: array.iter().cloned().collect(), gaps, trailing_comma: array.trailing_comma() }
    }

    /// Put it together again.
    #[must_use]
    pub(crate) fn into_array(mut self) -> Array {
        let is_multiline = self.is_multiline();
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

    /// The entries that are strings: all, in a file without mistakes.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(Value::as_str)
    }

    /// Their number.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_multiline(&self) -> bool {
        self.gaps.iter().any(|gap| gap.contains('\n'))
    }

    /// The indentation of the line of an entry.
    fn indent(&self) -> String {
        let lines = self.gaps[..self.entries.len()].iter().rev().filter_map(|gap| Some(gap.rsplit_once('\n')?.1));
        lines.map(ToOwned::to_owned).next().unwrap_or_else(|| INDENT.to_owned())
    }

    /// Replace the text of an entry.
    pub(crate) fn replace(&mut self, index: usize, word: &str) {
        self.entries[index] = word.into();
    }

    /// Insert an entry before another one, or at the end. A comment on the line of the previous entry stays there.
    pub(crate) fn insert(&mut self, index: usize, word: &str) {
        let gap = std::mem::take(&mut self.gaps[index]);
        let (before, after) = if self.is_multiline() || gap.contains('\n') {
            let (line, rest) = gap.split_at(gap.find('\n').unwrap_or(gap.len()));
            let rest = if rest.is_empty() { "\n" } else { rest };
            (format!("{}\n{}", line.trim_end(), self.indent()), rest.to_owned())
        } else if index == 0 {
            (gap, if self.is_empty() { String::new() } else { " ".to_owned() })
        } else {
            (" ".to_owned(), gap)
        };
        self.entries.insert(index, word.into());
        self.gaps[index] = before;
        self.gaps.insert(index + 1, after);
    }

    /// Remove an entry. A comment on its line gets a line of its own, because it does not belong to another entry.
    pub(crate) fn remove(&mut self, index: usize) {
        self.entries.remove(index);
        let after = self.gaps.remove(index + 1);
        let before = &mut self.gaps[index];
        let own_comment = after.lines().next().is_some_and(|line| line.contains('#'));
        if own_comment {
            if !before.contains('\n') {
                *before = format!("\n{INDENT}");
            }
            before.push_str(after.trim_start_matches([' ', '\t']));
        } else if index > 0 || before.contains('#') || after.contains('\n') {
            before.truncate(before.trim_end().len());
            before.push_str(&after);
        }
    }
}
