//! The page as text: its frame, the scripts and styles, and the data in a form that no content can leave.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use super::data::RunPage;
use crate::atomic_file::AtomicFile;
use crate::report::LogError;

/// uPlot 1.6.32, a library for charts; its licence is in `assets/uPlot.LICENSE`.
const UPLOT: [&str; 2] = [include_str!("assets/uPlot.iife.min.js"), include_str!("assets/uPlot.min.css")];

/// Our scripts, in their order.
const SCRIPTS: [&str; 6] = [
    include_str!("assets/format.js"),
    include_str!("assets/curves.js"),
    include_str!("assets/chart.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/controls.js"),
    include_str!("assets/report.js"),
];

const STYLE: &str = include_str!("assets/report.css");

const BODY: &str = include_str!("assets/report.html");

/// The data of a page.
#[derive(Serialize)]
struct PageData<'a> {
    runs: &'a [RunPage],
    is_live: bool,
}

/// Returns a page about these runs. A page with a `live` script runs it after `show`: it may connect to the server that
/// the page came from, and calls `update(runName, newPoints)` with what is new.
pub fn page(runs: &[RunPage], live: Option<&str>) -> String {
    let data = serde_json::to_string(&PageData { runs, is_live: live.is_some() });
    // All fields can be written as JSON.
    let data = escaped(&data.unwrap_or_default());
    // Only scripts with this word run. It depends on all of the content, which therefore cannot contain it.
    let nonce = blake3::hash(data.as_bytes()).to_hex();
    let connect = if live.is_some() { "connect-src 'self'; " } else { "" };
    let title = match runs {
        [run] => run.name.clone(),
        runs => format!("{} runs", runs.len()),
    };
    let mut page = String::with_capacity(data.len() + (1 << 17));
    let policy = format!(
        "default-src 'none'; {connect}script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         base-uri 'none'; form-action 'none'"
    );
    // Writing to a text does not fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n",
        in_text(&title)
    );
    for style in [UPLOT[1], STYLE] {
        let _ = write!(page, "<style nonce=\"{nonce}\">{style}</style>\n");
    }
    let _ = write!(page, "</head>\n<body>\n{BODY}\n<script type=\"application/json\" id=\"data\">{data}</script>\n");
    let start = "show(JSON.parse(document.getElementById(\"data\").textContent));";
    for script in [UPLOT[0]].into_iter().chain(SCRIPTS).chain([start]).chain(live) {
        let _ = write!(page, "<script nonce=\"{nonce}\">{script}</script>\n");
    }
    page + "</body>\n</html>\n"
}

/// Writes a page to a file, which is there under its name once it is whole.
///
/// # Errors
/// It cannot be written.
pub fn write_to(page: &str, file: &Path) -> Result<(), LogError> {
    let unwritten = |source| LogError::Unwritten { path: file.to_owned(), source };
    let mut out = AtomicFile::create(file).map_err(unwritten)?;
    out.write_all(page.as_bytes()).map_err(unwritten)?;
    out.finish().map_err(unwritten)
}

/// Escapes JSON for a script element: no text in it ends the element or begins a comment.
fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Escapes text for HTML.
fn in_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
