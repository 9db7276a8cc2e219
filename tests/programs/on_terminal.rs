//! Output in a terminal.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{ptr, thread};

use crate::common::programs::{TRAIN, Workplace};

const COLUMNS: u16 = 80;

/// Returns the output of a command whose stderr is a terminal of 80 columns.
fn shown(command: Command) -> String {
    shown_in(COLUMNS, command)
}

/// The same with another number of columns.
fn shown_in(columns: u16, mut command: Command) -> String {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut screen, mut terminal) = (0, 0);
    // SAFETY: the two numbers have room for what is written to them, no name is asked for, and the size is only read.
    let opened = unsafe { libc::openpty(&mut screen, &mut terminal, ptr::null_mut(), ptr::null(), &size) };
    assert_eq!(opened, 0, "no terminal is to be had");
    // SAFETY: both were just opened, and nothing else owns them.
    let (mut screen, terminal) = unsafe { (File::from_raw_fd(screen), File::from_raw_fd(terminal)) };
    let mut child = command.stdout(Stdio::null()).stderr(terminal).spawn().unwrap();
    // The command holds the terminal too, and the last one to close it ends the reading.
    drop(command);
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(bytes @ 1..) = screen.read(&mut piece) {
        text.extend(&piece[..bytes]);
    }
    child.wait().unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn the_notes_of_a_run_do_not_fill_the_terminal() {
    let place = Workplace::new();
    let words = |row: usize| (0..6).map(|column| format!("w{row}x{column},")).collect::<String>();
    let header: String = (0..6).map(|column| format!("column_{column},")).collect();
    let rows: String = (0..40).map(|row| format!("{}{}\n", words(row), row % 2)).collect();
    fs::write(place.path("rows.csv"), format!("{header}label\n{rows}")).unwrap();
    let all = place.train(&["config.toml", "--out", "run"]).err;
    let is_note = |line: &&str| !line.starts_with("plan: ");
    let count = all.lines().filter(is_note).take_while(|line| !line.starts_with("done")).count();
    assert!(count > 10, "{all}");
    let text = shown(place.command(TRAIN, &["config.toml", "--out", "shown"]));
    let notes = text.lines().filter(is_note);
    let opening: Vec<&str> = notes.take_while(|line| !line.contains("shows all of this")).collect();
    let rows: usize = opening.iter().map(|line| line.chars().count().div_ceil(COLUMNS.into())).sum();
    assert!(rows < 6 && opening.len() < count, "{text}");
    assert!(opening.iter().any(|line| line.starts_with("note: validates every")), "{text}");
    assert!(text.contains("more; `train check shown/config.toml` shows all of this"), "{text}");
    // The advice helps.
    let checked = place.train(&["check", "shown/config.toml"]).out;
    assert!(all.lines().filter(|line| line.starts_with("warning: ")).all(|line| checked.contains(line)), "{checked}");
}

#[test]
fn an_evaluation_counts_its_rows() {
    let place = Workplace::with_run();
    let text = shown(place.command(TRAIN, &["eval", "run", "--rows", "train"]));
    assert!(text.contains("row 0/18"), "{text:?}");
}

/// Returns the texts of the bar, as they were drawn one after the other.
fn bars(text: &str) -> Vec<&str> {
    let texts = text.split(['\r', '\n', '\x1b']).map(|text| text.trim_start_matches("[2K"));
    texts.filter(|text| text.starts_with("step ")).map(str::trim_end).collect()
}

#[test]
fn the_bar_fits_into_a_narrow_terminal_and_no_number_is_cut() {
    let place = Workplace::new();
    let long = ["--set", "train.epochs=2000", "--set", "checkpoint.every='10000 steps'"];
    let arguments = [&["config.toml", "--out", "run"], &long[..]].concat();
    let text = shown_in(40, place.command(TRAIN, &arguments));
    let bars = bars(&text);
    assert!(bars.iter().any(|bar| bar.contains(" left")), "{text:?}");
    assert!(bars.iter().all(|bar| bar.chars().count() <= 36), "{bars:?}");
    let is_whole = |bar: &&str| {
        let last = bar.rsplit(" | ").next().unwrap_or_default();
        !bar.contains('|') || last.strip_prefix("loss=").is_some_and(|loss| loss.parse::<f64>().is_ok())
    };
    assert!(bars.iter().all(is_whole), "{bars:?}");
}

/// In a pipe, another program may write the lines to the same terminal, where they would land in the bar.
#[test]
fn there_is_no_bar_beside_a_pipe_or_in_a_quiet_run() {
    let place = Workplace::new();
    let quiet = shown(place.command(TRAIN, &["config.toml", "--out", "quiet", "--quiet"]));
    assert_eq!(quiet, "");
    let json = shown(place.command(TRAIN, &["config.toml", "--out", "json", "--json"]));
    assert!(bars(&json).is_empty() && json.contains("done: 20 steps"), "{json:?}");
    let mut shell = place.command("sh", &["-c", "\"$0\" config.toml --out run | cat >&2", TRAIN]);
    shell.stdin(Stdio::null());
    let piped = shown(shell);
    assert!(bars(&piped).is_empty() && piped.contains("epoch 04 | lr="), "{piped:?}");
}

/// A terminal of tmux, which ends with the value.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a command of a shell in 80 columns; `None`, said loudly, on a machine without tmux.
    fn start(place: &Workplace, command: &str) -> Option<Self> {
        let tmux = Self { socket: place.path("tmux") };
        let folder = place.path("");
        let session = ["-f", "/dev/null", "-u", "new-session", "-d", "-x", "80", "-y", "24", "-c"];
        let started = tmux.command(&[&session[..], &[folder.to_str()?, command]].concat());
        match started {
            Ok(started) if started.status.success() => Some(tmux),
            failed => {
                eprintln!("SKIPPED: no tmux: {failed:?}");
                None
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> io::Result<Output> {
        Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).env_remove("TMUX").output()
    }

    /// Returns the rows of the screen in which a bar begins.
    fn bars(&self) -> Vec<String> {
        let screen = self.command(&["capture-pane", "-p"]).unwrap();
        let screen = String::from_utf8_lossy(&screen.stdout).into_owned();
        screen.lines().filter(|row| row.starts_with("step ") && row.contains('/')).map(str::to_owned).collect()
    }

    /// Waits until the last bar is another one.
    fn wait_for_another(&self, than: &[String]) -> Vec<String> {
        let began = Instant::now();
        loop {
            let bars = self.bars();
            if !bars.is_empty() && bars.last() != than.last() {
                return bars;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{bars:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        drop(self.command(&["kill-server"]));
    }
}

/// tmux breaks lines again when it becomes narrower, as most terminals do, and the bar has then two rows.
#[test]
fn a_terminal_that_becomes_narrower_keeps_no_rest_of_a_bar() {
    let place = Workplace::new();
    let long = "--set train.epochs=1000000 --set checkpoint.every='1000000 steps'";
    let Some(tmux) = Tmux::start(&place, &format!("'{TRAIN}' config.toml --out run {long} >/dev/null")) else { return };
    let mut bars = tmux.wait_for_another(&[]);
    for columns in ["30", "60", "20"] {
        // A bar that is drawn meanwhile may have had the size before.
        bars = tmux.wait_for_another(&bars);
        tmux.command(&["resize-window", "-x", columns, "-y", "24"]).unwrap();
        for _ in 0..3 {
            bars = tmux.wait_for_another(&bars);
        }
        assert_eq!(bars.len(), 1, "{columns} columns: {bars:?}");
    }
}
