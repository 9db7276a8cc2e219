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
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    fn line(step: u64, loss: f64) -> String {
        format!("{{\"step\":{step},\"epoch\":1,\"lr\":[0.1],\"loss\":{loss:?}}}\n")
    }

    fn lines(steps: std::ops::Range<u64>) -> String {
        steps.map(|step| line(step, step as f64)).collect()
    }

    struct Log {
        _folder: tempfile::TempDir,
        path: PathBuf,
        follower: Follower,
        /// The points that a reader of the changes has.
        steps: Vec<(u64, f64)>,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log.jsonl");
            Self { follower: Follower::new(&path), _folder: folder, path, steps: Vec::new() }
        }

        fn append(&self, text: &str) {
            let file = OpenOptions::new().append(true).create(true).open(&self.path);
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }

        fn cut(&self, text: &str) {
            OpenOptions::new().write(true).open(&self.path).unwrap().set_len(text.len() as u64).unwrap();
        }

        /// Applies all changes, and returns the number of lines that were added.
        fn poll(&mut self) -> usize {
            let mut added = 0;
            loop {
                let changes = self.follower.poll().unwrap();
                if changes.is_empty() {
                    return added;
                }
                for change in changes {
                    match change {
                        Change::Cut(step) => self.steps.retain(|(kept, _)| *kept < step),
                        Change::Lines(lines) => {
                            added += lines.len();
                            self.steps.extend(lines.iter().map(|line| (line.step, line.value("loss").unwrap())));
                        }
                    }
                }
            }
        }

        fn has(&self, steps: std::ops::Range<u64>) {
            assert_eq!(self.steps, steps.map(|step| (step, step as f64)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_new_and_complete_lines_come() {
        let mut log = Log::new();
        assert_eq!(log.poll(), 0);
        log.append(&lines(0..3));
        assert_eq!(log.poll(), 3);
        assert_eq!(log.poll(), 0);
        let next = lines(3..5);
        let (half, rest) = next.split_at(next.len() - 9);
        log.append(half);
        assert_eq!(log.poll(), 1);
        log.append(rest);
        assert_eq!(log.poll(), 1);
        log.append("garbage\n");
        assert_eq!(log.poll(), 0);
        log.append(&line(5, 5.0));
        assert_eq!(log.poll(), 1);
        log.has(0..6);
    }

    #[test]
    fn a_cut_log_takes_its_lines_back_also_if_it_has_grown_since() {
        let mut log = Log::new();
        log.append(&lines(0..4000));
        log.poll();
        log.append(&lines(4000..5000));
        log.poll();
        log.cut(&lines(0..4990));
        assert_eq!(log.poll(), 990, "the log is not read from its beginning");
        log.has(0..4990);
        // Between two polls it is cut and becomes longer than before, with other numbers.
        log.cut(&lines(0..2));
        log.append(&(2..7000).map(|step| line(step, step as f64 + 0.5)).collect::<String>());
        log.poll();
        assert_eq!((log.steps.len(), log.steps[1], log.steps[2]), (7000, (1, 1.0), (2, 2.5)));
        fs::remove_file(&log.path).unwrap();
        log.poll();
        log.has(0..0);
        log.append(&lines(0..1));
        log.poll();
        log.has(0..1);
    }

    #[test]
    fn the_same_lines_again_are_no_change() {
        let mut log = Log::new();
        log.append(&lines(0..100));
        log.poll();
        // A killed run is resumed, and makes its steps again.
        log.cut(&lines(0..50));
        log.append(&lines(50..120));
        assert_eq!(log.poll(), 20);
        log.has(0..120);
    }

    #[test]
    fn steps_that_are_in_the_log_twice_count_once() {
        let mut log = Log::new();
        log.append(&(lines(0..9) + &lines(5..12)));
        log.poll();
        log.has(0..12);
    }

    #[test]
    fn memory_and_time_of_a_poll_are_bounded() {
        let mut log = Log::new();
        log.append(&"x".repeat(PIECE + 10));
        assert_eq!(log.follower.poll().unwrap(), []);
        assert_eq!(log.follower.at.offset, PIECE as u64);
        log.append(&("\n".to_owned() + &lines(0..100_000)));
        let mut polls = 0;
        while !log.follower.poll().unwrap().is_empty() || polls == 0 {
            polls += 1;
        }
        assert!(polls > 1, "all was read at once");
        assert!(log.follower.places.len() <= PLACES);
    }

    #[test]
    fn numbers_of_a_list_have_their_position() {
        let mut log = Log::new();
        log.append("{\"step\":3,\"epoch\":2,\"lr\":[0.1,2e-7],\"momentum\":[0.9],\"loss\":0.5,\"skipped\":true}\n");
        let values = [("lr.0", 0.1), ("lr.1", 2e-7), ("momentum", 0.9), ("loss", 0.5)];
        let values = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
        assert_eq!(log.follower.poll().unwrap(), [Change::Lines(vec![LogLine { step: 3, epoch: 2, values }])]);
    }

    #[test]
    fn a_pipe_is_refused() {
        let mut follower = Follower::new("/dev/zero");
        assert!(follower.poll().is_err());
    }
}
