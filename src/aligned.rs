//! Tables as text, with aligned columns.

/// Returns the lines of a table, with two blanks between its columns. Words are aligned to the left, numbers to the
/// right; `is_number` says which columns are numbers.
pub(crate) fn aligned<R: AsRef<[String]>>(rows: &[R], is_number: impl Fn(usize) -> bool) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.as_ref().iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &R| {
        let cells = row.as_ref().iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
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
        let lists = rows.map(Vec::from);
        assert_eq!(aligned(&lists, |column| column == 1), ["name   steps", "größe      7"]);
        assert!(aligned::<[String; 2]>(&[], |_| false).is_empty());
    }
}
