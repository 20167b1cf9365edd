//! Tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table};

/// A table with these headings. Those that end in `>` are for numbers, which stand at the right.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.trim_end_matches('>')));
    table.add_rows(rows);
    for (column, heading) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if heading.ends_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
        let text =
            table(&["NAME", "SIZE>"], [vec!["a".into(), "10".into()], vec!["long".into(), "5".into()]]);
        assert_eq!(text, "NAME  SIZE\na       10\nlong     5\n");
    }
}
