//! The screen: a pure function of what is known of a run and of how the user looks at it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::curves::charts;
use super::facts::State;
use super::run::WatchedRun;
use super::view::View;
use crate::figures;

const HELP: &[&str] = &[
    "q, Esc, Ctrl-C   end; the training goes its way",
    "l                logarithmic axis of losses and norms",
    "s                smoothing: 0, 0.9, 0.99, 0.999",
    "Up, Down         show fewer steps, more steps",
    "Left, Right      move to earlier, later steps",
    "Home, End        show all steps, the last ones",
    "Tab, Shift-Tab   the next run, the one before",
    "Ctrl-L           draw everything again",
    "?                close this",
];

/// Draws the screen.
pub fn draw(frame: &mut Frame<'_>, run: &WatchedRun, view: &View) {
    let area = frame.area();
    let above = [state(run, view), progress(run, area.width), pace(run)];
    let below = [validation(run, area.width), checkpoint(run, area.width), keys(run, view)];
    // In a small window the curves have no room, and the words come first.
    let is_small = area.height < 12 || area.width < 30;
    let [top, middle, bottom] = match is_small {
        true => Layout::vertical([Constraint::Length(3), Constraint::Length(0), Constraint::Fill(1)]).areas(area),
        false => Layout::vertical([Constraint::Length(3), Constraint::Fill(1), Constraint::Length(3)]).areas(area),
    };
    frame.render_widget(Paragraph::new(above.to_vec()), top);
    if !is_small {
        draw_charts(frame, middle, run, view);
    }
    frame.render_widget(Paragraph::new(below.to_vec()), bottom);
    if view.help {
        draw_help(frame, area);
    }
}

/// Draws as many charts as have room.
fn draw_charts(frame: &mut Frame<'_>, area: Rect, run: &WatchedRun, view: &View) {
    let charts = charts(&run.series);
    let columns: &[Constraint] =
        if area.width >= 70 { &[Constraint::Percentage(58), Constraint::Fill(1)] } else { &[Constraint::Fill(1)] };
    let least = charts.len().div_ceil(columns.len());
    let rows = usize::from(area.height / 12).clamp(1, 2).min(least);
    let places = Layout::vertical(vec![Constraint::Fill(1); rows]).split(area);
    for (row, charts) in places.iter().zip(charts.chunks(columns.len())) {
        // A chart alone in its row has all of it.
        let columns = if charts.len() > 1 { columns } else { &[Constraint::Fill(1)] };
        for (curves, place) in charts.iter().zip(Layout::horizontal(columns).split(*row).iter()) {
            curves.draw(frame, *place, view, run.facts.made());
        }
    }
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (58.min(area.width), (HELP.len() as u16 + 2).min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), place);
}

/// The name and the state of the run.
fn state(run: &WatchedRun, view: &View) -> Line<'static> {
    let facts = &run.facts;
    let (text, color) = match &facts.state {
        State::Unknown => ("…".to_owned(), Color::Reset),
        State::NotBegun => ("has not begun: waiting for its first step".to_owned(), Color::Yellow),
        State::Running(Some(process)) => (format!("running ({process})"), Color::Green),
        State::Running(None) => ("running".to_owned(), Color::Green),
        State::Ended(how) if how.starts_with("failed") => (how.clone(), Color::Red),
        State::Ended(how) => (how.clone(), Color::Reset),
        State::Interrupted => ("not running: its process was killed".to_owned(), Color::Red),
    };
    let reading = if facts.is_reading { "   reading the log…" } else { "" };
    let tab = view.tab.map(|(at, all)| format!("   run {at} of {all}, Tab for the next")).unwrap_or_default();
    let style = if view.color { Style::new().fg(color) } else { Style::new() };
    Line::from(vec![
        Span::raw(" "),
        Span::raw(facts.name.clone()).bold(),
        Span::raw("   "),
        Span::styled(text, style),
        Span::raw(format!("{tab}{reading}")),
    ])
}

/// How much of the run is done.
fn progress(run: &WatchedRun, width: u16) -> Line<'static> {
    let facts = &run.facts;
    let cells = usize::from(width / 4).clamp(5, 40);
    let bar = |share: f64| {
        let full = (share * cells as f64) as usize;
        format!("{}{} {:.0} %   ", "█".repeat(full), "░".repeat(cells.saturating_sub(full)), 100.0 * share)
    };
    let bar = facts.share().map(bar).unwrap_or_default();
    let of = |total: Option<u64>| total.map(|total| format!(" of {total}")).unwrap_or_default();
    let steps = format!("step {}{}", facts.made(), of(facts.total));
    let epochs = facts.epochs.as_ref().map(|epochs| {
        let epoch = epochs.begun(facts.made()).max(1);
        format!("   epoch {epoch}{}", of(facts.total.map(|total| epochs.begun(total))))
    });
    Line::from(format!(" {bar}{steps}{}", epochs.unwrap_or_default()))
}

/// The speed, the time left, and the present numbers.
fn pace(run: &WatchedRun) -> Line<'static> {
    let facts = &run.facts;
    let is_running = matches!(facts.state, State::Running(_));
    let parts = [
        facts.speed.filter(|_| is_running).map(speed),
        facts.left().map(|seconds| format!("{} left", duration(seconds))),
        facts.loss.map(|loss| format!("loss {}", figures::loss(loss))),
        match &facts.rates[..] {
            [] => None,
            [rate] => Some(format!("rate {}", figures::rate(*rate))),
            [rate, ..] => Some(format!("rates {} … of {} groups", figures::rate(*rate), facts.rates.len())),
        },
    ];
    Line::from(format!(" {}", parts.into_iter().flatten().collect::<Vec<_>>().join("   ")))
}

/// The last validation and the best. What does not fit is left out, so that no number is cut.
fn validation(run: &WatchedRun, width: u16) -> Line<'static> {
    let facts = &run.facts;
    let Some((step, found)) = facts.validations.last() else { return Line::from(" no validation yet") };
    let plain = |name: &str| name.strip_prefix("validation_").or(name.strip_prefix("val_")).unwrap_or(name).to_owned();
    let numbers = found.iter().map(|(name, value)| format!("{} {}", plain(name), figures::loss(*value)));
    let best = facts.best.map(|(step, loss)| format!("best {} at {step}", figures::loss(loss)));
    let mut line = format!(" validation at {step}:");
    for (place, part) in numbers.chain(best).enumerate() {
        let part = format!("{} {part}", if place == 0 { "" } else { "," });
        if line.chars().count() + part.chars().count() <= usize::from(width) {
            line += &part;
        }
    }
    Line::from(line)
}

/// The newest checkpoint. Of a long path the end is shown, which tells the checkpoint.
fn checkpoint(run: &WatchedRun, width: u16) -> Line<'static> {
    let Some(save) = &run.facts.save else { return Line::from(" no checkpoint yet") };
    let age = save.age.map(|age| format!(", {} ago", duration(age as f64))).unwrap_or_default();
    let place = save.path.display().to_string().replace(char::is_control, "?");
    let words = format!(" checkpoint of step {}{age}: ", save.step);
    let (room, length) = (usize::from(width).saturating_sub(words.chars().count()), place.chars().count());
    let place = match length > room {
        true => format!("…{}", place.chars().skip(length + 1 - room.clamp(1, length)).collect::<String>()),
        false => place,
    };
    Line::from(words + &place)
}

/// The keys, or what is wrong.
fn keys(run: &WatchedRun, view: &View) -> Line<'static> {
    if let Some(trouble) = &run.facts.trouble {
        let line = Line::from(format!(" {}", trouble.replace(char::is_control, "?")));
        return if view.color { line.red() } else { line.bold() };
    }
    let (log, smoothing) = (if view.log { "on" } else { "off" }, view.smoothing());
    Line::from(format!(" q end   l log axis: {log}   s smoothing: {smoothing}   arrows zoom and move   ? keys")).dim()
}

fn speed(steps: f64) -> String {
    match steps {
        slow if slow < 0.1 => format!("{} per step", duration(1.0 / slow)),
        slow if slow < 10.0 => format!("{slow:.2} steps/s"),
        fast => format!("{fast:.0} steps/s"),
    }
}

/// Formats a time with its two largest units.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} days {} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests;
