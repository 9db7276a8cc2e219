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
