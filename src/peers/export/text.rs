//! Text form of an export: what was written, what was left, and the lines that load it.

use std::fmt;

use super::Exported;
use crate::wrapped::wrapped;

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, files, python, notes } = self;
        writeln!(f, "written     {}", path.display())?;
        if files.len() > 1 {
            files.iter().try_for_each(|file| writeln!(f, "  file      {}", file.display()))?;
        }
        for note in notes {
            let line = match note.strip_prefix("left: ") {
                Some(left) => format!("left        {left}"),
                None => format!("note        {note}"),
            };
            writeln!(f, "{}", wrapped(&line, "            "))?;
        }
        writeln!(f, "to load it:")?;
        python.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
