//! Server-sent events: a message for each run whenever something about it is new, with that alone.
//!
//! The identifier of a message says what the reader has seen of every run. A browser that connects again sends the last
//! one, and gets what it missed.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::future::select_all;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::live::{Live, Seen};

/// Time after which a comment is sent if there is no message, by which a browser that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The part of each run that a reader has seen.
pub type SeenRuns = BTreeMap<String, Seen>;

/// A run that is sent.
struct Sent {
    live: Arc<Live>,
    versions: watch::Receiver<u64>,
    seen: Option<Seen>,
    /// Whether anything was sent. The first message comes at once, so that the reader knows the state of the run.
    is_begun: bool,
}

impl Sent {
    /// Whether there is a message to send: none before the run was looked at once.
    fn is_due(&self) -> bool {
        let version = *self.versions.borrow();
        let has_seen = |seen: Seen| seen.version == version && self.live.is(seen);
        version > 0 && !(self.is_begun && self.seen.is_some_and(has_seen))
    }
}

/// Streams what is new of these runs, after what was seen.
pub fn stream(runs: Vec<Arc<Live>>, seen: &SeenRuns) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let sent = runs.into_iter().map(|live| {
        let versions = live.versions();
        let seen = seen.get(&live.run().id).copied();
        Sent { live, versions, seen, is_begun: false }
    });
    let messages = stream::unfold((sent.collect(), VecDeque::new()), next);
    Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

type Progress = (Vec<Sent>, VecDeque<usize>);

/// Waits for something new, and returns it as a message.
async fn next((mut sent, mut due): Progress) -> Option<(Result<Event, Infallible>, Progress)> {
    loop {
        while let Some(place) = due.pop_front() {
            let Some(one) = sent.get_mut(place) else { continue };
            let (news, seen) = one.live.since(one.seen);
            (one.seen, one.is_begun) = (Some(seen), true);
            // All fields can be written as JSON.
            let data = serde_json::to_string(&news).unwrap_or_default();
            let event = Event::default().event("news").id(id_of(&sent)).data(data);
            return Some((Ok(event), (sent, due)));
        }
        due = changed(&mut sent).await?;
    }
}

/// Waits until a run has something to send, and returns all that have; `None` if no run will have any.
async fn changed(sent: &mut [Sent]) -> Option<VecDeque<usize>> {
    loop {
        let due: VecDeque<usize> =
            sent.iter().enumerate().filter(|(_, one)| one.is_due()).map(|(place, _)| place).collect();
        if !due.is_empty() {
            return Some(due);
        }
        if sent.is_empty() {
            return None;
        }
        let waits = sent.iter_mut().map(|one| Box::pin(one.versions.changed()));
        let (changed, ..) = select_all(waits).await;
        changed.ok()?;
    }
}

/// Writes what was seen as the identifier of a message.
fn id_of(sent: &[Sent]) -> String {
    let seen = sent.iter().filter_map(|one| Some((one.live.run().id.as_str(), one.seen?)));
    seen_as_text(seen)
}

/// Writes what was seen as one word: `RUN:FOLLOWER.VERSION,…`.
pub fn seen_as_text<'a>(seen: impl Iterator<Item = (&'a str, Seen)>) -> String {
    seen.fold(String::new(), |mut text, (run, seen)| {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing into a text cannot fail.
        let _ = write!(text, "{comma}{run}:{}.{}", seen.follower, seen.version);
        text
    })
}

/// Reads what was seen. What is not of this form was not seen.
pub fn seen_from_text(text: &str) -> SeenRuns {
    let one = |word: &str| {
        let (run, seen) = word.split_once(':')?;
        let (follower, version) = seen.split_once('.')?;
        Some((run.to_owned(), Seen { follower: follower.parse().ok()?, version: version.parse().ok()? }))
    };
    text.split(',').filter_map(one).collect()
}

/// Returns what a browser that connects again has seen.
pub fn last_seen(headers: &HeaderMap) -> Option<SeenRuns> {
    Some(seen_from_text(headers.get("last-event-id")?.to_str().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_as_it_was_written() {
        let seen = SeenRuns::from([
            ("ab12".to_owned(), Seen { follower: 7, version: 1 }),
            ("cd34".to_owned(), Seen { follower: u64::MAX, version: 0 }),
        ]);
        let text = seen_as_text(seen.iter().map(|(run, seen)| (run.as_str(), *seen)));
        assert_eq!(seen_from_text(&text), seen);
        for odd in ["", ",", ":", "a:", "a:1", "a:1.", "a:.1", "a:1.-1", "a:x.y", "a:1.99999999999999999999999"] {
            assert_eq!(seen_from_text(odd), SeenRuns::new(), "{odd}");
        }
    }
}
