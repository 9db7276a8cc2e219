//! Tables as text, with aligned columns.

/// Returns the lines of a table, with two blanks between its columns. Words are aligned to the left, numbers to the
/// right; `is_number` says which columns are numbers.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]], is_number: impl Fn(usize) -> bool) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["name", "steps", ""], ["größe", "7", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows, |column| column == 1), ["name   steps", "größe      7"]);
        assert!(aligned::<2>(&[], |_| false).is_empty());
    }
}
