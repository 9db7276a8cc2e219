//! A run's log while it is being written: each poll returns what has changed since the one before.
//!
//! Nothing is locked, and no file stays open, so a training is not disturbed. A resume cuts the log back; the lines that
//! are gone are then taken back with [`Change::Cut`]. Memory does not grow with the log.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::log::line::{self, Field};
use crate::{regular, remedy};

/// Maximal number of bytes that one poll reads.
const PIECE: usize = 4 << 20;

/// Length in bytes of the text before a place by which the place is recognized. The numbers in it differ if the lines do.
const TAIL: u64 = 256;

/// Maximal number of remembered places.
const PLACES: usize = 512;

/// A change of a log since the last poll.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The lines from this step on are no longer in the log, or follow again.
    Cut(u64),
    /// Lines were added, in this order.
    Lines(Vec<LogLine>),
}

/// A change of a log, with the line itself.
pub(crate) enum RawChange<'a> {
    /// As [`Change::Cut`].
    Cut(u64),
    /// A line was added.
    Line(&'a [Field<'a>]),
}

/// The numbers of a line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Number of the update, from 0.
    pub step: u64,
    /// Number of its epoch, from 1; 0 if the line does not tell it.
    pub epoch: u64,
    /// All other numbers by their names. Those of a list with one element have the list's name; otherwise the position
    /// is added, as in `lr.1`.
    pub values: Vec<(String, f64)>,
}

impl LogLine {
    /// Returns the number with this name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(found, _)| found == name).map(|(_, value)| *value)
    }

    fn of(fields: &[Field<'_>]) -> Option<Self> {
        let mut values = Vec::with_capacity(fields.len());
        for (name, text) in fields.iter().filter(|(name, _)| !["step", "epoch"].contains(name)) {
            match text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) if list.contains(',') => {
                    let numbers = list.split(',').enumerate().filter_map(|(at, text)| Some((at, text.parse().ok()?)));
                    values.extend(numbers.map(|(at, number)| (format!("{name}.{at}"), number)));
                }
                list => values.extend(list.unwrap_or(text).parse().ok().map(|number| ((*name).to_owned(), number))),
            }
        }
        Some(Self { step: whole(fields, "step")?, epoch: whole(fields, "epoch").unwrap_or(0), values })
    }
}

/// A place in the log, at the beginning of a line.
#[derive(Clone, Debug)]
struct Place {
    offset: u64,
    /// The step from which the lines after it count.
    next: u64,
    /// The text before it.
    tail: Vec<u8>,
}

/// Follows the log of a run.
#[derive(Clone, Debug)]
pub struct Follower {
    path: PathBuf,
    /// Where the next line begins.
    at: Place,
    /// Earlier places, in order, at which a cut log is taken up again. The beginning is not among them.
    places: Vec<Place>,
    /// Least number of bytes between two of them.
    spacing: u64,
}

impl Place {
    fn beginning() -> Self {
        Self { offset: 0, next: 0, tail: Vec::new() }
    }

    /// Whether the file still has the same text before it.
    fn is_in(&self, file: &File, length: u64) -> io::Result<bool> {
        if self.offset > length {
            return Ok(false);
        }
        let mut found = vec![0; self.tail.len()];
        match file.read_exact_at(&mut found, self.offset - self.tail.len() as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| found == self.tail),
        }
    }
}

impl Follower {
    /// Follows the log at `path`, which need not exist yet. Nothing is read before the first poll.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), at: Place::beginning(), places: Vec::new(), spacing: 1 << 16 }
    }

    /// Returns the path of the log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the changes since the last poll: of at most a few mebibytes, so a long log takes many polls, until one
    /// returns nothing. A last line that is not complete waits for its end.
    ///
    /// # Errors
    /// The log is there and cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        self.poll_with(&mut |change| match (change, changes.last_mut()) {
            (RawChange::Cut(step), _) => changes.push(Change::Cut(step)),
            (RawChange::Line(fields), Some(Change::Lines(lines))) => lines.extend(LogLine::of(fields)),
            (RawChange::Line(fields), _) => changes.extend(LogLine::of(fields).map(|line| Change::Lines(vec![line]))),
        })?;
        Ok(changes)
    }

    /// [`Follower::poll`] without a value for each line: gives each change to `work`. Returns whether it has read on.
    ///
    /// # Errors
    /// As [`Follower::poll`].
    pub(crate) fn poll_with(&mut self, work: &mut dyn FnMut(RawChange<'_>)) -> io::Result<bool> {
        let before = self.at.offset;
        let file = match regular::open(&self.path) {
            Err(error) if remedy::is_absence(&error) => {
                self.return_to(Place::beginning(), work);
                return Ok(before > 0);
            }
            file => file?,
        };
        let length = file.metadata()?.len();
        if !self.at.is_in(&file, length)? {
            self.find_place(&file, length, work)?;
        }
        let read = self.read(&file)?;
        self.take(&read, work)?;
        Ok(self.at.offset != before)
    }

    /// Goes back to the last place that the log still has.
    fn find_place(&mut self, file: &File, length: u64, work: &mut dyn FnMut(RawChange<'_>)) -> io::Result<()> {
        while let Some(place) = self.places.pop() {
            if place.is_in(file, length)? {
                self.places.push(place.clone());
                self.return_to(place, work);
                return Ok(());
            }
        }
        self.return_to(Place::beginning(), work);
        Ok(())
    }

    fn return_to(&mut self, place: Place, work: &mut dyn FnMut(RawChange<'_>)) {
        if self.at.offset > place.offset {
            work(RawChange::Cut(place.next));
        }
        self.places.retain(|earlier| earlier.offset <= place.offset);
        self.at = place;
    }

    fn read(&self, file: &File) -> io::Result<Vec<u8>> {
        /// Reads on from a place in a file, without moving the file's own.
        struct From<'a>(&'a File, u64);
        impl Read for From<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read_at(buffer, self.1)?;
                self.1 += read as u64;
                Ok(read)
            }
        }
        let mut read = Vec::new();
        From(file, self.at.offset).take(PIECE as u64).read_to_end(&mut read)?;
        Ok(read)
    }

    /// Takes the complete lines of `read`, which begins at the current place.
    fn take(&mut self, read: &[u8], work: &mut dyn FnMut(RawChange<'_>)) -> io::Result<()> {
        let complete = match read.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => &read[..=end],
            // A line of this length is none of a log, and would be waited for without end.
            None if read.len() == PIECE => read,
            None => return Ok(()),
        };
        let mut next = self.at.next;
        line::each_in(complete, |line| {
            let Some(step) = whole(line.fields, "step") else { return Ok(()) };
            if step < next {
                // A killed process had made these steps too.
                work(RawChange::Cut(step));
            }
            next = step.saturating_add(1);
            work(RawChange::Line(line.fields));
            Ok::<_, io::Error>(())
        })?;
        let tail = complete.len().saturating_sub(TAIL as usize);
        let offset = self.at.offset + complete.len() as u64;
        self.at = Place { offset, next, tail: complete[tail..].to_vec() };
        self.remember();
        Ok(())
    }

    /// Remembers the current place, unless another is near.
    fn remember(&mut self) {
        let last = self.places.last().map_or(0, |place| place.offset);
        if self.at.offset < last.saturating_add(self.spacing) {
            return;
        }
        self.places.push(self.at.clone());
        if self.places.len() > PLACES {
            let mut is_kept = false;
            self.places.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.spacing = self.spacing.saturating_mul(2);
        }
    }
}

/// Returns a field that is a whole number.
fn whole(fields: &[Field<'_>], name: &str) -> Option<u64> {
    fields.iter().find(|(field, _)| *field == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests;
