//! Tests of the log.

use std::sync::atomic::{AtomicU32, Ordering};

use super::found::Found;
use super::parts::Parts;
use super::*;
use crate::train::run_dir::log_order;

fn record(step: u64) -> StepRecord {
    StepRecord::new(step, 1, &[0.1.into()], 0.25, 1.5)
}

fn line(step: u64) -> String {
    serde_json::to_string(&record(step)).unwrap() + "\n"
}

fn cut(content: &str, steps: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, content).unwrap();
    drop(Log::open(&path, 0..steps, None).unwrap());
    std::fs::read_to_string(&path).unwrap()
}

#[test]
fn a_line_says_what_an_update_did() {
    assert_eq!(line(3), "{\"step\":3,\"epoch\":1,\"lr\":[0.1],\"loss\":0.25,\"grad_norm\":1.5}\n");
}

/// Steps that a resumed run repeats must not be in its log twice.
#[test]
fn the_log_is_cut_back_to_the_checkpoint() {
    let all: String = (0..5).map(line).collect();
    assert_eq!(cut(&all, 3), (0..3).map(line).collect::<String>());
    assert_eq!(cut(&all, 9), all);
    assert_eq!(cut(&all, 0), "");
}

#[test]
fn a_torn_line_is_cut_off() {
    let (two, third) = ((0..2).map(line).collect::<String>(), line(2));
    for end in 1..third.len() {
        assert_eq!(cut(&format!("{two}{}", &third[..end]), 3), two);
    }
    assert_eq!(cut(&format!("{two}\u{fffd}garbage\n"), 3), two);
}

/// A damaged line in the middle must not remove the steps after it.
#[test]
fn a_damaged_log_is_kept_before_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let damaged = (0..5).map(line).collect::<String>().replacen("step", "stop", 1);
    std::fs::write(&path, &damaged).unwrap();
    drop(Log::open(&path, 0..5, None).unwrap());
    let kept = folder.path().join("log.jsonl.damaged");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), damaged);
    // A second copy must not replace the first.
    std::fs::write(&path, damaged.replace("0.25", "0.75")).unwrap();
    drop(Log::open(&path, 0..5, None).unwrap());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), damaged);
    assert!(folder.path().join("log.jsonl.damaged-2").exists());
}

/// Finds the lines before number `steps` in parts of this size, and returns how many were parsed too.
fn parsed(content: &[u8], steps: u64, part: u64) -> (Found, u32) {
    let parsed = AtomicU32::new(0);
    let open = |at: u64| &content[at as usize..];
    let parts = Parts { bytes: part, in_parallel: true };
    let found = Found::search(open, content.len() as u64, steps, parts, |line| {
        parsed.fetch_add(1, Ordering::Relaxed);
        log_order::step_of(line)
    });
    (found.unwrap(), parsed.into_inner())
}

/// The time of a resume must not grow with the length of its log by more than reading it takes.
#[test]
fn of_a_long_log_a_resume_parses_a_line_or_two_of_each_part() {
    let content: String = (0..20_000).map(line).collect();
    let kept = (0..12_345).map(line).collect::<String>().len() as u64;
    for part in [content.len() as u64 / 3, 500_000, 70_000] {
        let most = 4 + (content.len() as u64).div_ceil(part) as u32;
        for (steps, bytes) in [(12_345, kept), (20_000, content.len() as u64)] {
            let (found, parsed) = parsed(content.as_bytes(), steps, part);
            assert_eq!(found, Found { bytes, next: steps, is_disordered: false, gaps: Vec::new() });
            assert!(parsed <= most, "{parsed} of parts of {part}");
        }
        // A gap takes two lines more.
        let gap = content.replacen(&line(7000), "", 1);
        let (found, parsed) = parsed(gap.as_bytes(), 20_000, part);
        assert_eq!((found.gaps, found.next), (vec![(7000, 7000)], 20_000));
        assert!(parsed <= most + 2, "{parsed} of parts of {part}");
    }
}

/// The traces of a crash of the system: parts that are missing, zero or of another file, in the middle of lines. All is
/// found that is found by parsing every line.
#[test]
fn damage_in_the_middle_of_a_long_log_is_found_where_parsing_every_line_finds_it() {
    let content: Vec<u8> = (0..1500).map(line).collect::<String>().into_bytes();
    let starts: Vec<usize> =
        (0..1500_u64).scan(0, |at, step| Some(std::mem::replace(at, *at + line(step).len()))).collect();
    for (from, to) in [(0, 1), (1, 2), (700, 701), (700, 800), (1498, 1499), (1499, 1500)] {
        for shift in [0, 5, 20, 50] {
            let start = starts[from] + shift;
            let end = starts.get(to).map_or(content.len(), |end| end + shift);
            let missing = [&content[..start], &content[end..]].concat();
            let [mut zero, mut other] = [content.clone(), content.clone()];
            zero[start..end].fill(0);
            other[start..end].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 37 % 251) as u8);
            for damaged in [&missing, &zero, &other] {
                for (steps, part) in [(750, 20_000), (1500, 20_000), (1500, 1 << 30)] {
                    let (found, _) = parsed(damaged, steps, part);
                    assert_eq!(found, every_line_parsed(damaged, steps), "{from} to {to}, shifted by {shift}, {part}");
                }
            }
        }
    }
}

/// [`Found::in_file`] by its definition.
fn every_line_parsed(content: &[u8], steps: u64) -> Found {
    let mut found = Found { bytes: 0, next: 0, is_disordered: false, gaps: Vec::new() };
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let Some(step) = log_order::step_of(line) else { break };
        if !(found.next..steps).contains(&step) {
            found.is_disordered = step < found.next || found.next < steps;
            break;
        }
        if found.bytes > 0 && found.next < step {
            found.gaps.push((found.next, step - 1));
        }
        (found.bytes, found.next) = (found.bytes + line.len() as u64, step + 1);
    }
    found
}

/// A run that continued after a gap always has fewer lines than steps, which is not new damage.
#[test]
fn an_earlier_cut_is_not_taken_for_a_new_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let damaged = (0..5).map(line).collect::<String>().replacen("\"step\":3", "\"stop\":3", 1);
    std::fs::write(&path, &damaged).unwrap();
    drop(Log::open(&path, 0..5, None).unwrap());
    // It continues from step 5, and is killed after the checkpoint at step 7, in the next line or a later one.
    let (third, torn) = ((0..3).map(line).collect::<String>(), &line(9)[..10]);
    for last in [9, 7] {
        std::fs::write(&path, format!("{third}{}{torn}", (5..last).map(line).collect::<String>())).unwrap();
        drop(Log::open(&path, 0..7, None).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), third.clone() + &line(5) + &line(6));
    }
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // New damage is detected.
    std::fs::write(&path, third + &line(5) + "{}\n").unwrap();
    drop(Log::open(&path, 0..7, None).unwrap());
    assert!(folder.path().join("log.jsonl.damaged-2").exists());
}

#[test]
fn doubled_and_swapped_lines_are_put_in_order_and_the_log_as_it_was_is_kept() {
    for order in [&[0, 1, 1, 2, 3, 4][..], &[0, 2, 1, 3, 4], &[0, 1, 2, 4, 3], &[0, 1, 0, 1, 2, 3, 4]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let disordered: String = order.iter().map(|&step| line(step)).collect();
        std::fs::write(&path, &disordered).unwrap();
        drop(Log::open(&path, 0..5, None).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..5).map(line).collect::<String>());
        assert_eq!(std::fs::read_to_string(folder.path().join("log.jsonl.damaged")).unwrap(), disordered);
    }
    assert_eq!(cut(&[0, 1, 2, 3, 4, 4].map(line).concat(), 5), (0..5).map(line).collect::<String>());
}

#[test]
fn a_log_that_is_removed_meanwhile_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = Log::open(&path, 0..0, None).unwrap();
    log.record(&record(0));
    log.written().unwrap().sync().unwrap();
    assert_eq!(log.restore(), None);
    std::fs::remove_file(&path).unwrap();
    log.record(&record(1));
    assert!(log.restore().unwrap().contains("log.jsonl was removed during the run"));
    log.record(&record(2));
    log.written().unwrap().sync().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..3).map(line).collect::<String>());
    // The file that an editor has put in its place is kept.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "an editor's").unwrap();
    log.restore().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..3).map(line).collect::<String>());
    assert_eq!(std::fs::read_to_string(folder.path().join("log.jsonl.damaged")).unwrap(), "an editor's");
}

#[test]
fn appending_continues_where_the_log_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, (0..5).map(line).collect::<String>()).unwrap();
    let mut log = Log::open(&path, 0..2, None).unwrap();
    log.record(&record(2));
    log.written().unwrap().sync().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..3).map(line).collect::<String>());
}

/// The first updates of a run that began in another trainer have no lines anywhere.
#[test]
fn a_log_may_begin_where_the_run_was_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    for _ in 0..2 {
        drop(Log::open(&path, 10..10, None).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
    std::fs::write(&path, (10..15).map(line).collect::<String>()).unwrap();
    drop(Log::open(&path, 10..12, None).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line(10) + &line(11));
}

/// Lines of a log that is several times as long as what is read at its end.
const MANY: u64 = 6000;

/// Opens a log as a long one, cut back to these lines, adds two, and returns what is told about it and what is in it then.
fn told_of_long(content: &str) -> (Vec<String>, String, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, content).unwrap();
    let mut log = Log::open_in_parts(&path, 0..MANY, None, 1000).unwrap();
    log.record(&record(MANY));
    let told = log.attend(Duration::from_secs(60)).unwrap();
    log.record(&record(MANY + 1));
    log.written().unwrap().sync().unwrap();
    let told = told.into_iter().map(|told| told.replace(&folder.path().display().to_string(), ""));
    let kept = std::fs::read_to_string(folder.path().join("log.jsonl.damaged")).ok();
    (told.collect(), std::fs::read_to_string(&path).unwrap(), kept)
}

#[test]
fn a_long_log_is_cut_back_at_once_and_examined_meanwhile() {
    let whole = (0..MANY + 2).map(line).collect::<String>();
    for more in [MANY, MANY + 1, MANY + 2, MANY + 100] {
        let content = (0..more).map(line).collect::<String>();
        assert_eq!(told_of_long(&content), (vec![], whole.clone(), None));
        assert_eq!(told_of_long(&(content + &line(more)[..7])), (vec![], whole.clone(), None));
    }
}

/// All that a resume of a short log finds before its first step is found later in a long one, and ends in the same.
#[test]
fn damage_in_the_middle_of_a_long_log_is_told_and_mended_while_it_grows() {
    let (all, whole) = ((0..MANY + 2).map(line).collect::<String>(), (0..MANY + 2).map(line).collect::<String>());
    let swapped = all.replacen(&(line(100) + &line(101)), &(line(101) + &line(100)), 1);
    let (told, content, kept) = told_of_long(&swapped);
    let expected =
        "/log.jsonl had duplicate or swapped lines; it is sorted, and the old log is kept in /log.jsonl.damaged";
    assert_eq!((told, content), (vec![expected.to_owned()], whole));
    assert_eq!(kept.unwrap(), swapped.replace(&line(MANY + 1), ""));

    let broken = all.replacen("\"step\":100", "\"stop\":100", 1);
    let (told, content, kept) = told_of_long(&broken);
    let damaged = "/log.jsonl is damaged at step 100; a copy of all of it is kept in /log.jsonl.damaged";
    assert_eq!(told, [damaged, "/log.jsonl has no lines of steps 100 to 5999"]);
    assert_eq!(content, (0..100).chain(MANY..MANY + 2).map(line).collect::<String>());
    assert_eq!(kept.unwrap(), broken.replace(&line(MANY + 1), ""));

    let (told, content, kept) = told_of_long(&all.replacen(&line(100), "", 1));
    assert_eq!(told, ["/log.jsonl has no lines of steps 100 to 100"]);
    assert_eq!((content, kept), ((0..100).chain(101..MANY + 2).map(line).collect(), None));
}

/// The remains of a crash of the system at the end of a log are found before the first step, like in a short one.
#[test]
fn a_long_log_without_the_line_before_the_checkpoint_is_examined_at_once() {
    let content = (0..MANY - 1).map(line).collect::<String>();
    let (told, log, kept) = told_of_long(&content);
    assert_eq!((told, log, kept), (vec![], content + &line(MANY) + &line(MANY + 1), None));
}

/// Neither the time before the first step nor a stop depends on the length of the log.
#[test]
fn a_long_log_is_examined_from_the_first_record_on_and_can_be_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let broken = (0..MANY).map(line).collect::<String>().replacen("\"step\":100", "\"stop\":100", 1);
    std::fs::write(&path, &broken).unwrap();
    let mut log = Log::open_in_parts(&path, 0..MANY, None, 1000).unwrap();
    assert!(!log.examination.as_ref().unwrap().has_begun());
    log.record(&record(MANY));
    assert!(log.examination.as_ref().unwrap().has_begun());
    // Whatever it may have found by now.
    log.leave_examination();
    assert_eq!(log.attend(Duration::from_secs(60)).unwrap(), Vec::<String>::new());
    log.conclude().unwrap();
    drop(log);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), broken + &line(MANY));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    // The next process finds it.
    let mut log = Log::open_in_parts(&path, 0..MANY + 1, None, 1000).unwrap();
    assert!(log.attend(Duration::from_secs(60)).unwrap()[0].contains("damaged at step 100"));
}

/// An examination that would never end holds nobody up. The test would not end if it did.
#[test]
fn a_log_is_concluded_while_its_examination_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = Log::open(&path, 0..0, None).unwrap();
    let (hold, held) = std::sync::mpsc::channel();
    log.examination = Some(Examination::hanging_until(held));
    log.record(&record(0));
    assert_eq!(log.attend(Duration::ZERO).unwrap(), Vec::<String>::new());
    log.leave_examination();
    log.conclude().unwrap();
    drop(log);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line(0));
    drop(hold);
}
