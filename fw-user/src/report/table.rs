//! Tables and units.

use comfy_table::{CellAlignment, Table, presets};

/// A table without lines: a heading, and columns that are aligned right if they contain numbers.
pub(crate) fn table(head: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table's lines, indented by two columns.
pub(crate) fn indented(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + "  " + line.trim_end() + "\n")
}

/// Bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    humansize::format_size(count, humansize::BINARY)
}
