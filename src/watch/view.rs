//! How the user looks at the curves, and the keys that change it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The shares of earlier values in a smoothed curve, between which `s` changes.
const SMOOTHING: [f64; 4] = [0.0, 0.9, 0.99, 0.999];

/// Number of times that a curve can be enlarged twofold.
const ZOOMS: u32 = 20;

/// The least number of steps that are shown.
const LEAST: f64 = 10.0;

/// The request of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing, or a change of the view.
    Nothing,
    /// To end.
    End,
    /// To be suspended, as by Ctrl-Z.
    Suspend,
    /// To draw everything again.
    Redraw,
    /// The next run, or the one before.
    Next,
    /// The run before.
    Previous,
}

/// How the curves are looked at.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whether the vertical axis of losses and norms is logarithmic.
    pub log: bool,
    /// Whether the keys are explained.
    pub help: bool,
    /// Whether colors are used.
    pub color: bool,
    /// The position and number of the watched run, from 1, if there are several.
    pub tab: Option<(usize, usize)>,
    smoothing: usize,
    /// How often the curves are enlarged twofold.
    zoom: u32,
    /// The place of the right edge: the share of the shown steps by which it is before the last one.
    back: f64,
}

impl View {
    /// All steps, without smoothing; in colors or not.
    pub fn new(color: bool) -> Self {
        Self { color, ..Self::default() }
    }

    /// The share that earlier values have in a smoothed curve; 0 smooths nothing.
    pub fn smoothing(&self) -> f64 {
        SMOOTHING.get(self.smoothing).copied().unwrap_or_default()
    }

    /// Returns the first and the last step that are shown, of a run that has made `done`.
    pub fn range(&self, done: u64) -> (f64, f64) {
        let end = done.saturating_sub(1).max(1) as f64;
        let span = self.span(end);
        let last = (end - self.back * span).clamp(span, end);
        (last - span, last)
    }

    fn span(&self, end: f64) -> f64 {
        (end / f64::from(1 << self.zoom)).max(LEAST).min(end)
    }

    /// Does what a key asks for.
    pub fn key(&mut self, key: KeyEvent, done: u64) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'd') => Wish::End,
                KeyCode::Char('z') => Wish::Suspend,
                KeyCode::Char('l') => Wish::Redraw,
                _ => Wish::Nothing,
            };
        }
        match key.code {
            // Escape closes the help first.
            KeyCode::Esc | KeyCode::Char('?' | 'h') if self.help => self.help = false,
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Wish::End,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('l') => self.log = !self.log,
            KeyCode::Char('s') => self.smoothing = (self.smoothing + 1) % SMOOTHING.len(),
            KeyCode::Up | KeyCode::Char('+' | '=') => self.zoom_to((self.zoom + 1).min(ZOOMS), done),
            KeyCode::Down | KeyCode::Char('-') => self.zoom_to(self.zoom.saturating_sub(1), done),
            KeyCode::Left => self.go(0.25, done),
            KeyCode::Right => self.go(-0.25, done),
            KeyCode::Home | KeyCode::Char('0') => (self.zoom, self.back) = (0, 0.0),
            KeyCode::End => self.back = 0.0,
            KeyCode::Tab => return Wish::Next,
            KeyCode::BackTab => return Wish::Previous,
            _ => {}
        }
        Wish::Nothing
    }

    /// Changes the number of enlargements, around the same right edge.
    fn zoom_to(&mut self, zoom: u32, done: u64) {
        let end = done.saturating_sub(1).max(1) as f64;
        let before = self.back * self.span(end);
        // A span that cannot become smaller would only count presses.
        if zoom > self.zoom && self.span(end) <= LEAST {
            return;
        }
        self.zoom = zoom;
        self.back = before / self.span(end);
        self.go(0.0, done);
    }

    /// Moves by a share of what is shown, to earlier steps if it is positive.
    fn go(&mut self, share: f64, done: u64) {
        let end = done.saturating_sub(1).max(1) as f64;
        let most = (end / self.span(end) - 1.0).max(0.0);
        self.back = (self.back + share).clamp(0.0, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, codes: &[KeyCode]) -> (f64, f64) {
        codes.iter().for_each(|code| assert_eq!(view.key(KeyEvent::from(*code), 1001), Wish::Nothing));
        view.range(1001)
    }

    #[test]
    fn arrows_enlarge_and_move_within_the_run() {
        let mut view = View::default();
        assert_eq!(view.range(1001), (0.0, 1000.0));
        assert_eq!(press(&mut view, &[KeyCode::Up]), (500.0, 1000.0));
        assert_eq!(press(&mut view, &[KeyCode::Left]), (375.0, 875.0));
        assert_eq!(press(&mut view, &[KeyCode::Left; 9]), (0.0, 500.0));
        assert_eq!(press(&mut view, &[KeyCode::Right; 9]), (500.0, 1000.0));
        assert_eq!(press(&mut view, &[KeyCode::Down; 3]), (0.0, 1000.0));
        let (first, last) = press(&mut view, &[KeyCode::Up; 50]);
        assert!(last == 1000.0 && last - first >= LEAST, "{first} to {last}");
        assert_eq!(press(&mut view, &[KeyCode::Home]), (0.0, 1000.0));
        // Before the first step there is nothing to enlarge.
        view.key(KeyEvent::from(KeyCode::Up), 0);
        assert_eq!(view.range(0), (0.0, 1.0));
    }

    #[test]
    fn keys_end_and_suspend() {
        let mut view = View::default();
        let key = |code, modifiers| KeyEvent::new(KeyCode::Char(code), modifiers);
        assert_eq!(view.key(key('c', KeyModifiers::CONTROL), 1), Wish::End);
        assert_eq!(view.key(key('z', KeyModifiers::CONTROL), 1), Wish::Suspend);
        assert_eq!(view.key(key('q', KeyModifiers::NONE), 1), Wish::End);
        view.help = true;
        assert_eq!(view.key(KeyEvent::from(KeyCode::Esc), 1), Wish::Nothing);
        assert_eq!(view.key(KeyEvent::from(KeyCode::Esc), 1), Wish::End);
    }
}
