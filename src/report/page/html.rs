//! The page as text: its frame, the scripts and styles, and the data in a form that no content can leave.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use super::data::RunPage;
use crate::atomic_file::AtomicFile;
use crate::report::LogError;

/// uPlot 1.6.32, a library for charts.
const UPLOT: [&str; 2] = [include_str!("assets/uPlot.iife.min.js"), include_str!("assets/uPlot.min.css")];

/// Its licence, which every copy has to have.
const LICENSE_OF_UPLOT: &str = include_str!("assets/uPlot.LICENSE");

/// Our scripts, in their order.
const SCRIPTS: [&str; 9] = [
    include_str!("assets/format.js"),
    include_str!("assets/curves.js"),
    include_str!("assets/zoom.js"),
    include_str!("assets/chart.js"),
    include_str!("assets/timeline.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/predictions.js"),
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
    let _ = writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<!-- uPlot 1.6.32\n\n{LICENSE_OF_UPLOT}-->",
        in_text(&title)
    );
    for style in [UPLOT[1], STYLE] {
        let _ = writeln!(page, "<style nonce=\"{nonce}\">{style}</style>");
    }
    let _ = writeln!(page, "</head>\n<body>\n{BODY}\n<script type=\"application/json\" id=\"data\">{data}</script>");
    let start = "show(JSON.parse(document.getElementById(\"data\").textContent));";
    for script in [UPLOT[0]].into_iter().chain(SCRIPTS).chain([start]).chain(live) {
        let _ = writeln!(page, "<script nonce=\"{nonce}\">{script}</script>");
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::report::page::PageOptions;

    fn run_of(name: &str, log: &str) -> RunPage {
        let folder = tempfile::tempdir().unwrap();
        let log_file = folder.path().join("log.jsonl");
        std::fs::write(&log_file, log).unwrap();
        RunPage::read(&log_file, name.to_owned(), &PageOptions::for_runs(1)).unwrap()
    }

    #[test]
    fn no_text_of_a_run_leaves_its_place() {
        let scripts = |page: &str| page.matches("<script").count();
        let harmless = page(&[run_of("a", "{\"step\":0,\"loss\":1}\n")], None);
        let name = "</script><script>alert(1)</script><!-- \u{2028} </title>";
        let page = page(&[run_of(name, "{\"step\":0,\"loss\":1}\n")], None);
        assert_eq!(scripts(&page), scripts(&harmless));
        assert!(!page.contains("<script>alert") && page.matches("</title>").count() == 1);
        let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["runs"][0]["name"], name);
    }

    #[test]
    fn only_a_live_page_may_connect_and_every_script_has_the_word_of_the_policy() {
        let run = [run_of("a", "{\"step\":0,\"loss\":1}\n")];
        let (still, live) = (page(&run, None), page(&run, Some("listen();")));
        assert!(!still.contains("connect-src") && live.contains("connect-src 'self'; script-src 'nonce-"));
        assert!(live.contains(">listen();</script>") && live.contains("\"is_live\":true"));
        let words = still.matches("<script nonce=\"").count() + still.matches("<style nonce=\"").count();
        assert_eq!(words, still.matches("<script").count() - 1 + still.matches("<style").count());
    }

    #[test]
    fn a_page_about_a_million_steps_has_less_than_three_megabytes() {
        let options = PageOptions::for_runs(1);
        let mut log = String::new();
        // Noise, so that nothing can be left out; every eighth step of a million, because a test is not optimized.
        for step in (0..1_000_000_u64).step_by(8) {
            let noise = |seed: u64| ((step + 1) * seed % 1_000_003) as f64 / 1_000_003.0;
            let (lr, loss, norm) = (noise(7919), noise(104_729), noise(1_299_709));
            writeln!(log, "{{\"step\":{step},\"epoch\":1,\"lr\":[{lr}],\"loss\":{loss},\"grad_norm\":{norm}}}")
                .unwrap();
        }
        let run = run_of("a", &log);
        assert!(run.curves.iter().all(|curve| curve.x.len() <= 4 * options.buckets && curve.x.len() > options.buckets));
        let bytes = page(&[run], None).len();
        assert!(bytes < 3_000_000, "{bytes} bytes");
    }
}
