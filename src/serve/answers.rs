//! The answers: the list of runs, the page of some of them, and what is new about these. A request names runs by their
//! identifiers in the list, and cannot name a path.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Serialize;
use serde_json::json;
use tokio::task;

use super::events::{self, SeenRuns};
use super::hub::Hub;
use super::live::{BUCKETS, Live};
use super::predictions::Predictor;
use super::row::Row;
use super::rows::Rows;
use super::runs::{Catalogue, Run};
use crate::report::page::{Curves, PageOptions, RunPage, page};

/// Most runs on one page.
const MOST: usize = 20;

/// The page of the list with its script and its style, which adds to that of the pages of runs; and the script by which
/// these follow.
const LIST: &str = include_str!("assets/list.html");
const LIST_SCRIPT: &str = include_str!("assets/list.js");
const LIST_STYLE: &str = concat!(include_str!("../report/page/assets/report.css"), include_str!("assets/list.css"));
const LIVE_SCRIPT: &str = include_str!("assets/live.js");

/// All that answers are made of.
#[derive(Debug)]
pub struct App {
    pub catalogue: Arc<Catalogue>,
    pub rows: Rows,
    pub hub: Arc<Hub>,
    pub predictor: Predictor,
}

type Shared = State<Arc<App>>;

/// The list of runs; if a single run is served, its page.
pub async fn list(State(app): Shared) -> Response {
    let only = task::spawn_blocking(move || app.catalogue.only_run()).await;
    match only {
        Ok(Some(run)) => Redirect::to(&format!("/view?run={}", run.id)).into_response(),
        _ => Html(LIST).into_response(),
    }
}

/// The rows of the list.
pub async fn rows(State(app): Shared) -> Response {
    #[derive(Serialize)]
    struct List<'a> {
        now: u64,
        runs: &'a [Row],
        is_cut: bool,
    }
    let list = task::spawn_blocking(move || {
        let (runs, is_cut) = app.rows.all();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        serde_json::to_string(&List { now, runs: &runs, is_cut })
    });
    match list.await {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        _ => failed(),
    }
}

/// The page of some runs, which follows them.
pub async fn view(State(app): Shared, RawQuery(query): RawQuery) -> Response {
    let runs = match chosen(&app, query.as_deref()).await {
        Ok(runs) => runs,
        Err(refusal) => return refusal,
    };
    let live: Vec<Arc<Live>> = runs.iter().map(|run| app.hub.follow(run)).collect();
    for one in &live {
        let mut versions = one.versions();
        // The first look; a run that can no longer be read has none.
        let _ = versions.wait_for(|version| *version > 0).await;
    }
    let has_list = app.catalogue.only_run().is_none();
    match task::spawn_blocking(move || page_of(&live, has_list)).await {
        Ok(text) => {
            // The page has its own policy, by which its own scripts alone run.
            let policy = [(header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'")];
            (policy, Html(text)).into_response()
        }
        Err(_) => failed(),
    }
}

fn page_of(live: &[Arc<Live>], has_list: bool) -> String {
    let options = PageOptions { buckets: BUCKETS, tensors: true, predictions: false };
    let (mut pages, mut seen) = (Vec::new(), SeenRuns::new());
    for one in live {
        let (curves, now) = one.curves();
        seen.insert(one.run().id.clone(), now);
        pages.push(RunPage::with_curves(&one.run().path, one.run().name.clone(), &curves, &options));
    }
    let seen = events::seen_as_text(seen.iter().map(|(id, seen)| (id.as_str(), *seen)));
    let runs: Vec<&str> = live.iter().map(|one| one.run().id.as_str()).collect();
    let followed = json!({"runs": runs, "seen": seen, "has_list": has_list});
    page(&pages, Some(&format!("const followed = {followed};\n{LIVE_SCRIPT}")))
}

/// The parts of a run's page besides its log and its tensors: a save changes them.
pub async fn rest(State(app): Shared, RawQuery(query): RawQuery) -> Response {
    let runs = match chosen(&app, query.as_deref()).await {
        Ok(runs) => runs,
        Err(refusal) => return refusal,
    };
    let Some(run) = runs.into_iter().next() else { return failed() };
    let made = task::spawn_blocking(move || {
        let options = PageOptions { buckets: BUCKETS, tensors: false, predictions: false };
        let page = RunPage::with_curves(&run.path, run.name, &Curves::new(BUCKETS), &options);
        let RunPage { total_steps, steps_per_epoch, epochs, curves, ahead, times, events, facts, config, .. } = page;
        json!({
            "total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "epochs": epochs, "curves": curves, "ahead": ahead,
            "times": times, "events": events, "facts": facts, "config": config,
        })
    });
    match made.await {
        Ok(rest) => ([(header::CONTENT_TYPE, "application/json")], rest.to_string()).into_response(),
        Err(_) => failed(),
    }
}

/// The predictions of the newest checkpoint of a run.
pub async fn predictions(State(app): Shared, RawQuery(query): RawQuery) -> Response {
    let runs = match chosen(&app, query.as_deref()).await {
        Ok(runs) => runs,
        Err(refusal) => return refusal,
    };
    let Some(run) = runs.into_iter().next() else { return failed() };
    match app.predictor.of(run).await {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => failed(),
    }
}

/// The news about some runs, from now on.
pub async fn events(State(app): Shared, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let runs = match chosen(&app, query.as_deref()).await {
        Ok(runs) => runs,
        Err(refusal) => return refusal,
    };
    let seen = events::last_seen(&headers).unwrap_or_else(|| {
        let text = parameters(query.as_deref()).find_map(|pair| pair.strip_prefix("seen="));
        events::seen_from_text(text.unwrap_or_default())
    });
    events::stream(runs.iter().map(|run| app.hub.follow(run)).collect(), &seen).into_response()
}

pub async fn list_script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], LIST_SCRIPT).into_response()
}

pub async fn list_style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], LIST_STYLE).into_response()
}

/// There is nothing at this address.
pub async fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here; the runs are listed at /\n").into_response()
}

fn failed() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "this failed; the terminal of `inspect serve` says why\n").into_response()
}

/// Finds the runs that a request names.
async fn chosen(app: &Arc<App>, query: Option<&str>) -> Result<Vec<Run>, Response> {
    let mut known = HashSet::new();
    let ids: Vec<String> = parameters(query)
        .filter_map(|pair| pair.strip_prefix("run="))
        .filter(|id| known.insert(id.to_owned()))
        .map(str::to_owned)
        .collect();
    if ids.is_empty() || ids.len() > MOST {
        let text = format!("choose 1 to {MOST} runs in the list at /\n");
        return Err((StatusCode::BAD_REQUEST, text).into_response());
    }
    let app = Arc::clone(app);
    let found = task::spawn_blocking(move || ids.iter().map(|id| find(&app, id)).collect::<Result<Vec<_>, _>>()).await;
    match found {
        Ok(Ok(runs)) => Ok(runs),
        Ok(Err((status, text))) => Err((status, text).into_response()),
        Err(_) => Err(failed()),
    }
}

fn find(app: &App, id: &str) -> Result<Run, (StatusCode, String)> {
    let found = app.catalogue.runs();
    let Some(run) = found.runs.get(id) else {
        let text = "there is no such run, or no longer; the runs are listed at /\n";
        return Err((StatusCode::NOT_FOUND, text.to_owned()));
    };
    match app.catalogue.link_out(run) {
        Some(problem) => Err((StatusCode::FORBIDDEN, format!("{}: {problem}\n", run.name))),
        None => Ok(run.clone()),
    }
}

fn parameters(query: Option<&str>) -> impl Iterator<Item = &str> {
    query.unwrap_or_default().split('&')
}
