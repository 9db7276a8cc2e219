//! `inspect watch` in a terminal, as a user sees it and leaves it.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::{Child, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use crate::common::programs::{INSPECT, Workplace};

/// A program in a terminal of 80 columns and 24 rows.
struct Shown {
    screen: File,
    /// Kept open, so that the settings of the terminal can be asked for after the program.
    terminal: File,
    child: Child,
    text: Vec<u8>,
}

impl Shown {
    fn start(place: &Workplace, arguments: &[&str]) -> Self {
        Self::start_with(place, arguments, "")
    }

    fn start_with(place: &Workplace, arguments: &[&str], no_color: &str) -> Self {
        let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut screen, mut terminal) = (0, 0);
        // SAFETY: the two numbers have room for what is written to them, no name is asked for, and the size is only
        // read.
        let opened = unsafe { libc::openpty(&mut screen, &mut terminal, ptr::null_mut(), ptr::null(), &size) };
        assert_eq!(opened, 0, "no terminal is to be had");
        // SAFETY: both were just opened, and nothing else owns them.
        let (screen, terminal) = unsafe { (File::from_raw_fd(screen), File::from_raw_fd(terminal)) };
        // The program must not have it too, or it could not see that its terminal is gone.
        rustix::io::fcntl_setfd(&screen, rustix::io::FdFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&screen, true).unwrap();
        let mut command = place.command(INSPECT, arguments);
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
        command.stderr(Stdio::piped()).env("TERM", "xterm").env("NO_COLOR", no_color);
        let child = command.spawn().unwrap();
        Self { screen, terminal, child, text: Vec::new() }
    }

    /// Reads what the program writes until it has written `part`.
    #[track_caller]
    fn wait_for(&mut self, part: &str) {
        let began = Instant::now();
        while !String::from_utf8_lossy(&self.text).contains(part) {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", String::from_utf8_lossy(&self.text));
            self.read();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn read(&mut self) {
        let mut piece = [0; 4096];
        while let Ok(bytes @ 1..) = self.screen.read(&mut piece) {
            self.text.extend(&piece[..bytes]);
        }
    }

    fn press(&mut self, keys: &str) {
        self.text.clear();
        self.screen.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the call only reads the size.
        unsafe { libc::ioctl(self.screen.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        self.signal(libc::SIGWINCH);
    }

    fn signal(&self, signal: i32) {
        let process = self.child.id().try_into().unwrap();
        // SAFETY: the process is a child that has not been waited for.
        unsafe { libc::kill(process, signal) };
    }

    /// Whether the terminal gives a program each key at once, without a line.
    fn is_raw(&self) -> bool {
        let settings = rustix::termios::tcgetattr(&self.terminal).unwrap();
        !settings.local_modes.contains(rustix::termios::LocalModes::ICANON)
    }

    /// Waits for the end, and requires that the terminal is as it was.
    #[track_caller]
    fn ends(mut self) {
        let began = Instant::now();
        let code = loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        self.read();
        assert_eq!(code, Some(0));
        assert!(!self.is_raw(), "the terminal is left raw");
        let text = String::from_utf8_lossy(&self.text);
        assert!(text.contains("\u{1b}[?1049l") && text.contains("\u{1b}[?25h"), "{text:?}");
    }
}

#[test]
fn keys_and_a_new_size_change_the_screen_and_the_terminal_is_given_back() {
    let place = Workplace::with_run();
    let before = place.files();
    let mut shown = Shown::start(&place, &["watch", "run"]);
    // Blanks are not written, so only words are searched for.
    for part in ["finished", "100", "validations", "step-0000000020", "zoom"] {
        shown.wait_for(part);
    }
    assert!(shown.is_raw());
    shown.press("l");
    shown.wait_for(", log");
    shown.resize(50, 200);
    shown.press("?");
    shown.wait_for("Shift-Tab");
    shown.press("q");
    shown.ends();
    assert!(place.files() == before, "a file was changed");
}

#[test]
fn signals_give_the_terminal_back() {
    let place = Workplace::with_run();
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let mut shown = Shown::start(&place, &["watch", "run/log.jsonl"]);
        shown.wait_for("finished");
        shown.text.clear();
        shown.signal(signal);
        shown.ends();
    }
}

/// As when a window is closed, or a connection to another machine breaks, and no signal comes.
#[test]
fn it_ends_with_its_terminal() {
    let place = Workplace::with_run();
    let mut shown = Shown::start(&place, &["watch", "run"]);
    shown.wait_for("finished");
    let Shown { screen, mut child, .. } = shown;
    drop(screen);
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_suspended_one_gives_the_terminal_back_and_takes_it_again() {
    let place = Workplace::with_run();
    let mut shown = Shown::start(&place, &["watch", "run"]);
    shown.wait_for("finished");
    shown.press("\u{1a}");
    shown.wait_for("\u{1b}[?1049l");
    let began = Instant::now();
    while shown.is_raw() {
        assert!(began.elapsed() < Duration::from_secs(60), "the terminal is raw while it is suspended");
    }
    shown.text.clear();
    // It may not have stopped yet, and a signal before that would be lost.
    while !String::from_utf8_lossy(&shown.text).contains("finished") {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not continue");
        shown.signal(libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(20));
        shown.read();
    }
    shown.press("\u{3}");
    shown.ends();
}

#[test]
fn colors_are_left_out_if_the_environment_asks_for_it() {
    let place = Workplace::with_run();
    for (value, is_colored) in [("", true), ("1", false)] {
        let mut shown = Shown::start_with(&place, &["watch", "run"], value);
        shown.wait_for("zoom");
        let text = String::from_utf8_lossy(&shown.text).into_owned();
        assert_eq!(text.contains("\u{1b}[38;"), is_colored, "{text:?}");
        shown.press("q");
        shown.ends();
    }
}

#[test]
fn what_cannot_be_watched_is_refused_with_a_remedy() {
    let place = Workplace::with_run();
    place.inspect_refuses(2, &["watch", "run"], &["needs a terminal", "inspect plot RUN"]);
    place.inspect_refuses(2, &["watch", "none"], &["none does not exist"]);
    place.inspect_refuses(2, &["watch", "rows.csv"], &["is no run"]);
    place.inspect_refuses(2, &["watch", "s3://bucket/run"], &["only runs on a local disk"]);
}
