//! The lines before a run begins: a short plan, and notes and warnings, all of them in a file, and on a terminal only a
//! few.

use std::io::{self, IsTerminal};

use rekindle::report::brief;
use rekindle::shell;
use rekindle::train::Run;

/// Maximal number of terminal rows for them.
const ROWS: usize = 6;

/// Returns a short plan of a run, one line per part. A model that does not fit its data was refused before.
pub fn plan(run: &Run) -> Vec<String> {
    brief(run.session()).unwrap_or_default()
}

/// Returns the notes and warnings of a run, one per line.
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

/// Returns the lines if they fit into [`ROWS`] rows of `columns` columns. Otherwise returns the last line, which is
/// about the run as a whole, before it the beginnings of as many lines as fit, and the number of the others.
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
