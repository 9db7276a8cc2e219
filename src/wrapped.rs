//! Long lines, broken for a terminal.

/// The width that the texts of this program keep.
const COLUMNS: usize = 100;

/// The width of code, which is printed with an indent.
pub const CODE: usize = 92;

/// Breaks a line that is too long at its blanks; the further lines begin with `indent`. A longer word stays whole.
pub fn wrapped(line: &str, indent: &str) -> String {
    wrapped_to(COLUMNS, line, indent)
}

/// [`wrapped`] to another width.
pub fn wrapped_to(columns: usize, line: &str, indent: &str) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for (place, word) in line.split(' ').enumerate() {
        let width = word.chars().count();
        if place > 0 && column + 1 + width > columns && column > indent.len() {
            text.push('\n');
            text.push_str(indent);
            column = indent.len();
        } else if place > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_blanks_and_lose_nothing() {
        let words: Vec<String> = (0..60).map(|number| format!("word{number}")).collect();
        let line = format!("label       {}", words.join(" "));
        let broken = wrapped(&line, "            ");
        assert!(broken.lines().count() > 3 && broken.lines().all(|line| line.chars().count() <= COLUMNS), "{broken}");
        assert_eq!(broken.split_whitespace().collect::<Vec<_>>(), line.split_whitespace().collect::<Vec<_>>());
        assert!(broken.lines().skip(1).all(|line| line.starts_with("            word")), "{broken}");
        let long = "x".repeat(300);
        assert_eq!(wrapped(&long, "  "), long);
        assert_eq!(wrapped("short  line", "  "), "short  line");
    }
}
