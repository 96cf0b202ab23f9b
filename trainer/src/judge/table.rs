//! Markdown tables that are aligned, so that they can be read in a terminal as they are.

/// A Markdown table, its first column to the left, the others to the right.
#[must_use]
pub(super) fn markdown_table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(&rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cell = |(column, cell): (usize, &String)| match column {
            0 => format!(" {cell:<width$} |", width = widths[column]),
            _ => format!(" {cell:>width$} |", width = widths[column]),
        };
        format!("|{}\n", row.iter().enumerate().map(cell).collect::<String>())
    };
    let rule = |(column, width): (usize, &usize)| match column {
        0 => format!("{}|", "-".repeat(width + 2)),
        _ => format!("{}:|", "-".repeat(width + 1)),
    };
    let rule = format!("|{}\n", widths.iter().enumerate().map(rule).collect::<String>());
    line(&header) + &rule + &rows.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_markdown() {
        let rows = [vec!["qpos".to_string(), "0.1".to_string()], vec!["σ".to_string(), "12.5".to_string()]];
        let expected = "| part |    V |\n|------|-----:|\n| qpos |  0.1 |\n| σ    | 12.5 |\n";
        assert_eq!(markdown_table(&["part", "V"], rows), expected);
    }
}
