//! The lists of numbers in an evaluation, one line or one table for each.

use std::collections::BTreeMap;

/// Formats the lists; `classes` are the names of the classes, if there are any.
pub fn text(lists: &BTreeMap<String, Vec<f64>>, classes: Option<&[String]>) -> String {
    lists.iter().map(|(name, numbers)| format!("\n{name}{}", list(numbers, classes))).collect()
}

fn list(numbers: &[f64], classes: Option<&[String]>) -> String {
    match classes {
        Some(classes) if numbers.len() == classes.len() * classes.len() && classes.len() > 1 => {
            matrix(numbers, classes)
        }
        Some(classes) if numbers.len() == classes.len() => named(numbers, classes),
        _ => named(numbers, &(0..numbers.len()).map(|place| place.to_string()).collect::<Vec<_>>()),
    }
}

/// One line for each number, because there may be many.
fn named(numbers: &[f64], names: &[String]) -> String {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    names.iter().zip(numbers).map(|(name, number)| format!("\n  {name:width$}  {number:.4}")).collect()
}

/// Rows are true classes, columns predicted ones.
fn matrix(counts: &[f64], classes: &[String]) -> String {
    const LONGEST: usize = 12;
    let short: Vec<String> = classes.iter().map(|name| name.chars().take(LONGEST).collect()).collect();
    let first = short.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("true".len());
    let column = |place: usize| {
        let of_column = counts.iter().skip(place).step_by(classes.len());
        let numbers = of_column.map(|count| count.to_string().len()).max().unwrap_or(1);
        short.get(place).map_or(1, |name| name.chars().count()).max(numbers)
    };
    let widths: Vec<usize> = (0..classes.len()).map(column).collect();
    let cells = |texts: Vec<String>| -> String {
        texts.iter().zip(&widths).map(|(text, &width)| format!("  {text:>width$}")).collect()
    };
    let mut text = format!(", predicted in columns\n  {:first$}{}", "true", cells(short.clone()));
    for (name, row) in short.iter().zip(counts.chunks(classes.len())) {
        text += &format!("\n  {name:first$}{}", cells(row.iter().map(f64::to_string).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_a_row_for_each_true_class_and_a_list_a_line_for_each_number() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let lists = [("counts".to_owned(), vec![10.0, 2.0, 0.0, 1234.0]), ("f1".to_owned(), vec![0.5, 1.0])].into();
        let expected = "\ncounts, predicted in columns\n  true  cat   dog\n  cat    10     2\n  dog     0  1234\n\
                        f1\n  cat  0.5000\n  dog  1.0000";
        assert_eq!(text(&lists, Some(&classes)), expected);
        assert_eq!(text(&[("f1".to_owned(), vec![0.5])].into(), None), "\nf1\n  0  0.5000");
    }
}
