//! Notes and warnings before a run begins: all of them in a file, and on a terminal as many as are read.

use std::io::{self, IsTerminal};

use rekindle::shell;
use rekindle::train::Run;

/// Rows of a terminal that are filled before a run begins.
const ROWS: usize = 6;

/// The notes and warnings of a run, a line each.
pub fn lines(run: &Run) -> Vec<String> {
    let all: Vec<String> = run.session().notices().iter().map(ToString::to_string).collect();
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map(|size| usize::from(size.ws_col));
    match columns {
        Ok(columns) if io::stderr().is_terminal() && columns > 0 => {
            let config = shell::path(&run.path().join("config.toml"));
            shortened(all, columns, &format!("`train check {config}`"))
        }
        _ => all,
    }
}

/// The lines, where they fill no more than [`ROWS`] rows of `columns` columns. Else the last, which is of the run as a
/// whole, the beginnings of as many of those before it as there is room for, and how many more there are.
fn shortened(mut all: Vec<String>, columns: usize, where_all_are: &str) -> Vec<String> {
    let rows = |line: &String| line.chars().count().div_ceil(columns);
    if all.iter().map(rows).sum::<usize>() <= ROWS {
        return all;
    }
    let Some(last) = all.pop() else { return all };
    let begun = all.split_off(all.len().saturating_sub((ROWS - 1).saturating_sub(rows(&last))));
    let cut = |line: &String| match rows(line) {
        0 | 1 => line.clone(),
        _ => line.chars().take(columns - 1).chain(['…']).collect(),
    };
    let more = if all.is_empty() { String::new() } else { format!("{} more; ", all.len()) };
    let line = format!("note: {more}{where_all_are} shows all of this");
    begun.iter().map(cut).chain([last, line]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_filled_and_the_notes_of_the_run_stay() {
        let line = |name: &str, rows: usize| name.repeat(rows * 10);
        let short = vec![line("a", 2), line("b", 3)];
        assert_eq!(shortened(short.clone(), 10, "x"), short);
        let all = vec![line("a", 2), line("b", 4), line("c", 1), line("d", 3)];
        let expected = ["bbbbbbbbb…", "cccccccccc", &line("d", 3), "note: 1 more; x shows all of this"];
        assert_eq!(shortened(all, 10, "x"), expected);
        let all = vec![line("a", 1), line("z", 9)];
        assert_eq!(shortened(all, 10, "x"), [line("z", 9), "note: 1 more; x shows all of this".to_owned()]);
    }
}
