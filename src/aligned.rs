//! Tables as text: columns that stand under each other.

/// The lines of a table, two blanks between its columns. Words stand on the left of a column, numbers on the right of
/// it, as `is_number` says of each column.
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
