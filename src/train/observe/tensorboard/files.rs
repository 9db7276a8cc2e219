//! The event files of a run: one for each process, named so that a later one sorts after all earlier ones.
//!
//! On a resume, the files of earlier processes are cut back to the checkpoint and never written again: servers keep a
//! file open and continue at their place in it, so they would miss what is written over, but they notice a new file.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::events::Written;
use super::records::{self, Records};
use crate::regular;

/// Names begin as readers expect it, and end with the writer: files of others are left alone.
const BEGINNING: &str = "events.out.tfevents.";
const END: &str = ".rekindle";

/// The files of earlier processes of a run, cut back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Earlier {
    /// The first step whose scalars are in no file.
    pub next: u64,
    /// The highest number in a file's name.
    pub number: u64,
}

impl Earlier {
    /// Cuts the files in the directory `run` back to the events before step `recorded`, and to those that are whole.
    pub fn cut_back(run: &Path, recorded: u64) -> io::Result<Self> {
        let mut earlier = Self::default();
        let mut own = Vec::new();
        for entry in fs::read_dir(run).map_err(named(run))? {
            let name = entry.map_err(named(run))?.file_name();
            let Some((number, is_own)) = name.to_str().and_then(number_in) else { continue };
            earlier.number = earlier.number.max(number);
            own.extend(is_own.then(|| (number, run.join(&name))));
        }
        own.sort_unstable();
        for (_, path) in own.iter().rev() {
            if let Some(next) = cut_file_back(path, recorded, VERIFIED).map_err(named(path))? {
                // When that process began, the files before it were cut back to its first step.
                earlier.next = next;
                break;
            }
        }
        Ok(earlier)
    }

    /// Returns the path of the next file, which is made at this time in seconds since 1970.
    pub fn next_file(&self, run: &Path, now: u64) -> PathBuf {
        // The clock may have been set back.
        let number = now.max(self.number.saturating_add(1));
        run.join(format!("{BEGINNING}{number:010}{END}"))
    }
}

/// Returns the number in the name of an event file, and whether the file is one of a run here.
fn number_in(name: &str) -> Option<(u64, bool)> {
    let rest = name.strip_prefix(BEGINNING)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    Some((rest[..digits].parse().ok()?, &rest[digits..] == END))
}

/// Bytes at the end of a file that are read in any case. More is in memory only when a system crashes, if a run writes
/// as much as most.
const VERIFIED: u64 = 4 << 20;

/// Cuts a file back to its whole events before step `recorded`, and returns the step after those that it has, or after
/// which it begins; `None` if no such events are left. Of a long file, little more than the last `verified` bytes that
/// stay is read.
fn cut_file_back(path: &Path, recorded: u64, verified: u64) -> io::Result<Option<u64>> {
    regular::require(path)?;
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut records = Records::of(BufReader::new(&file), 0, length);
    let (mut kept, mut next) = (0, None);
    let begins = [Some(Written::Version), None];
    for part in begins {
        let written = records.next()?.and_then(Written::read);
        match (part, written) {
            (Some(version), Some(written)) if version == written => {}
            (None, Some(Written::Start { step })) if step < recorded => next = Some(step),
            _ => break,
        }
        kept = records.position();
    }
    if next.is_some() {
        if let Some((at, step)) = event_before(&file, recorded, length, verified)?.filter(|(at, _)| *at > kept) {
            (kept, next) = (at, Some(step));
        }
        file.seek(SeekFrom::Start(kept))?;
        let mut records = Records::of(BufReader::with_capacity(1 << 20, &file), kept, length);
        while let Some(event) = records.next()? {
            match (Written::read(event), next) {
                (Some(Written::Step { step }), Some(at)) if (at..recorded).contains(&step) => next = Some(step + 1),
                (Some(Written::Values { step }), _) if step < recorded => {}
                _ => break,
            }
            kept = records.position();
        }
    }
    if kept < length {
        file.set_len(kept)?;
    }
    Ok(next)
}

/// Finds the scalars of a step, `verified` bytes or more before the events of step `recorded` or the end of a long file:
/// their place, and the step. Steps rise in a file, so it is halved again and again.
fn event_before(file: &File, recorded: u64, length: u64, verified: u64) -> io::Result<Option<(u64, u64)>> {
    let window = verified / 4;
    let (mut low, mut high) = (0, length);
    while window > 0 && high - low > window {
        let middle = low + (high - low) / 2;
        match step_after(file, middle, window, length)? {
            Some((_, step)) if step < recorded => low = middle,
            _ => high = middle,
        }
    }
    if low <= verified { Ok(None) } else { step_after(file, low - verified, window, length) }
}

/// Returns the first scalars of a step whose event begins in a window of a file: their place, and the step.
fn step_after(mut file: &File, from: u64, window: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    let Some(at) = records::first_between(file, from, from + window, length)? else { return Ok(None) };
    file.seek(SeekFrom::Start(at))?;
    let mut records = Records::of(BufReader::new(file), at, length);
    let mut at = at;
    while let Some(event) = records.next()? {
        match Written::read(event) {
            Some(Written::Step { step }) => return Ok(Some((at, step))),
            Some(_) if records.position() < from + window => at = records.position(),
            _ => break,
        }
    }
    Ok(None)
}

/// Adds the path to an error.
pub(super) fn named(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::events;
    use super::super::records::append;
    use super::*;
    use crate::protobuf::Message;

    fn step(step: u64) -> Message {
        events::summary(1.0, step, &[events::scalar("loss", 0.5)])
    }

    fn file(events: &[Message]) -> Vec<u8> {
        let mut file = Vec::new();
        append(&mut file, events::version(1.0).bytes());
        events.iter().for_each(|event| append(&mut file, event.bytes()));
        file
    }

    /// Cuts a run with these files back, and returns the lengths that they then have.
    fn cut(files: &[&[u8]], recorded: u64) -> (Earlier, Vec<usize>) {
        let run = tempfile::tempdir().unwrap();
        let path = |number: usize| run.path().join(format!("events.out.tfevents.{number:010}.rekindle"));
        files.iter().enumerate().for_each(|(number, content)| fs::write(path(number), content).unwrap());
        let earlier = Earlier::cut_back(run.path(), recorded).unwrap();
        (earlier, (0..files.len()).map(|number| fs::metadata(path(number)).unwrap().len() as usize).collect())
    }

    #[test]
    fn events_of_steps_that_will_be_made_again_are_cut_off() {
        let first = [events::start(1.0, 0), step(0), step(1), step(2)];
        let text = events::summary(1.0, 2, &[events::text("config", "")]);
        let second = [events::start(1.0, 2), text, step(2), step(3), step(4)];
        let (a, b, only_version) = (file(&first), file(&second), file(&[]).len());
        assert_eq!(cut(&[&a, &b], 5), (Earlier { next: 5, number: 1 }, vec![a.len(), b.len()]));
        assert_eq!(cut(&[&a, &b], 3).1, [a.len(), file(&second[..3]).len()]);
        assert_eq!(cut(&[&a, &b], 2), (Earlier { next: 2, number: 1 }, vec![file(&first[..3]).len(), only_version]));
        assert_eq!(cut(&[&a, &b], 0), (Earlier { next: 0, number: 1 }, vec![only_version; 2]));
    }

    /// Steps that are missing at the end are filled in by the next process.
    #[test]
    fn a_file_that_was_cut_off_or_damaged_ends_with_its_last_whole_event() {
        let events = [events::start(1.0, 7), step(7), step(8), step(9)];
        let whole = file(&events);
        for end in 0..whole.len() {
            let ends: Vec<usize> = (0..4).map(|count| file(&events[..count]).len()).collect();
            let count = ends.iter().filter(|&&last| last <= end).count();
            let next = [0, 0, 7, 8, 9][count];
            let kept = if count == 0 { 0 } else { ends[count - 1] };
            assert_eq!(cut(&[&whole[..end]], 20), (Earlier { next, number: 0 }, vec![kept]), "{end}");
        }
        let mut damaged = whole.clone();
        damaged[file(&events[..2]).len() + 20] ^= 1;
        assert_eq!(cut(&[&damaged], 20).0.next, 8);
    }

    /// Of a long file only the end is read, with the same result also if that is damaged.
    #[test]
    fn a_long_file_is_cut_where_reading_all_of_it_cuts_it() {
        let text = |step| events::summary(1.0, step, &[events::text("config", &"x".repeat(300))]);
        let steps = (7..900).flat_map(|number| match number % 50 {
            0 => vec![text(number), step(number), text(number)],
            _ => vec![step(number)],
        });
        let whole = file(&[vec![events::start(1.0, 7)], steps.collect()].concat());
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("file");
        let cut = |content: &[u8], recorded: u64, verified: u64| {
            fs::write(&path, content).unwrap();
            let next = cut_file_back(&path, recorded, verified).unwrap();
            (next, fs::metadata(&path).unwrap().len())
        };
        for recorded in [0, 7, 8, 50, 51, 333, 450, 899, 900, 2000] {
            for end in [whole.len(), whole.len() - 1, whole.len() - 500, whole.len() / 2] {
                let mut zeros = whole.clone();
                zeros[end..].fill(0);
                zeros.truncate(end + 1000);
                for content in [&whole[..end], &zeros] {
                    let all = cut(content, recorded, u64::MAX);
                    for verified in [2000, 8000] {
                        assert_eq!(cut(content, recorded, verified), all, "{recorded} of {end}, {verified}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_new_file_sorts_after_all_others_and_those_of_other_programs_are_left_alone() {
        let run = tempfile::tempdir().unwrap();
        for name in ["events.out.tfevents.0000000003.host.7.0", "events.out.tfevents.x", "log.jsonl"] {
            fs::write(run.path().join(name), "not ours").unwrap();
        }
        let earlier = Earlier::cut_back(run.path(), 0).unwrap();
        assert_eq!(fs::read(run.path().join("events.out.tfevents.0000000003.host.7.0")).unwrap(), b"not ours");
        let name = |now| earlier.next_file(Path::new(""), now).display().to_string();
        assert_eq!(name(1), "events.out.tfevents.0000000004.rekindle");
        assert_eq!(name(1_764_417_600), "events.out.tfevents.1764417600.rekindle");
    }
}
