//! Screens of a fixed run, as text.

use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::*;
use crate::data::Epochs;
use crate::watch::facts::{Facts, Save};

/// A run of 2000 steps at its 1,200th.
fn run() -> WatchedRun {
    let mut run = WatchedRun::new(std::path::Path::new("/nowhere/digits"));
    let line = |step: u64| {
        let x = step as f64;
        let mut values = vec![
            ("lr".to_owned(), 0.002 * (1.0 - x / 2000.0)),
            ("loss".to_owned(), 0.1 + 2.0 * (-x / 200.0).exp() + if step == 700 { 1.0 } else { 0.0 }),
            ("grad_norm".to_owned(), 1.0 + (x / 50.0).sin()),
        ];
        if step % 200 == 199 {
            values.push(("val_loss".to_owned(), 0.2 + 2.0 * (-x / 200.0).exp()));
            values.push(("val_accuracy".to_owned(), 0.5 + x / 3000.0));
        }
        crate::report::LogLine { step, epoch: step / 45 + 1, values }
    };
    (0..1200).for_each(|step| run.take_line(&line(step)));
    let path = PathBuf::from("runs/digits/checkpoints/step-0000001125");
    run.facts = Facts {
        state: State::Running(Some("process 1234".to_owned())),
        total: Some(2000),
        epochs: Some(Epochs::of_length(45)),
        save: Some(Save { step: 1125, path, age: Some(12) }),
        speed: Some(160.0),
        ..run.facts
    };
    run
}

fn screen(run: &WatchedRun, view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, run, view)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(row).collect()
}

/// Compares with a file, or writes it if `REKINDLE_DRAW` is set.
fn is_as_drawn(name: &str, found: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/watch/draw").join(name);
    if std::env::var_os("REKINDLE_DRAW").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(file).unwrap(), "REKINDLE_DRAW=1 writes {name} again");
}

#[test]
fn the_screen_of_a_run_is_as_drawn() {
    is_as_drawn("80x24.txt", &screen(&run(), &View::default(), 80, 24));
    is_as_drawn("200x50.txt", &screen(&run(), &View::default(), 200, 50));
}

#[test]
fn a_window_of_any_size_is_drawn() {
    let (run, mut view) = (run(), View::default());
    view.help = true;
    for (width, height) in [(0, 0), (1, 1), (20, 5), (29, 11), (30, 12), (31, 13), (69, 20), (70, 14), (300, 9)] {
        screen(&run, &view, width, height);
    }
    let small = screen(&run, &View::default(), 20, 5);
    assert!(small.contains("digits") && small.contains("60 %"), "{small}");
}

#[test]
fn a_run_without_anything_is_drawn_with_words() {
    let mut run = WatchedRun::new(std::path::Path::new("/nowhere/new"));
    run.facts.state = State::NotBegun;
    let screen = screen(&run, &View::default(), 80, 24);
    for words in ["has not begun", "no numbers yet", "no validation yet", "no checkpoint yet", "step 0"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
}

#[test]
fn a_line_that_is_too_long_loses_whole_parts_and_the_beginning_of_a_path() {
    let shown = |width| {
        let screen = screen(&run(), &View::default(), width, 24);
        let line = |word: &str| screen.lines().find(|line| line.contains(word)).unwrap_or_default().to_owned();
        [line("validation at"), line("checkpoint of")]
    };
    let [validation, checkpoint] = shown(80);
    assert!(validation.contains("accuracy 0.8997") && validation.contains("best "), "{validation}");
    assert!(checkpoint.ends_with("/step-0000001125"), "{checkpoint}");
    let [validation, checkpoint] = shown(45);
    assert!(validation.ends_with("loss 0.2050"), "{validation}");
    assert!(checkpoint.ends_with("ago: …00001125"), "{checkpoint}");
}

#[test]
fn keys_change_the_screen() {
    let (run, mut view) = (run(), View::default());
    let mut press = |code| {
        view.key(KeyEvent::from(code), 1200);
        screen(&run, &view, 80, 24)
    };
    assert!(press(KeyCode::Char('l')).contains("loss, • in validations, log"));
    assert!(press(KeyCode::Char('s')).contains("smoothing: 0.9"));
    assert!(press(KeyCode::Up).contains("600"));
    assert!(press(KeyCode::Char('?')).contains("Shift-Tab"));
}

#[test]
fn what_cannot_be_read_is_said_on_the_screen() {
    let mut run = run();
    run.facts.trouble = Some("log.jsonl cannot be read:\u{1b}[2J denied".to_owned());
    run.facts.state = State::Ended("failed: no".to_owned());
    let screen = screen(&run, &View::default(), 80, 24);
    assert!(screen.contains("log.jsonl cannot be read:?[2J denied") && screen.contains("failed: no"), "{screen}");
    assert!(!screen.contains("steps/s") && !screen.contains(" left"), "{screen}");
}

#[test]
fn times_have_their_two_largest_units() {
    let shown = [0.4, 59.0, 61.0, 3600.0, 90_000.0, 200_000.0].map(duration);
    assert_eq!(shown, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "25 h 0 min", "2 days 7 h"]);
    assert_eq!([0.01, 2.5, 123.4].map(speed), ["1 min 40 s per step", "2.50 steps/s", "123 steps/s"]);
}
