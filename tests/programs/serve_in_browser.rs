//! `inspect serve` in a browser: the list and its comparison, a page that grows, and predictions.

use std::fs;

use serde_json::Value;

use crate::browser::Browser;
use crate::common::programs::Workplace;
use crate::server::{Server, append, line, lines, run};

/// The names in the list, in the order of its rows.
const NAMES: &str = "return [...document.querySelectorAll('#rows th a')].map((name) => name.textContent).join(' ');";

/// A folder with a trained run, and two of which there are only logs.
fn folder() -> Workplace {
    let place = Workplace::with_run();
    fs::create_dir(place.path("runs")).unwrap();
    fs::rename(place.path("run"), place.path("runs/digits")).unwrap();
    run(&place, "runs/sweep/b", &lines(0..30));
    run(&place, "runs/sweep/a", &lines(0..40));
    place
}

/// Nothing went wrong in the page, and everything came from the server.
#[track_caller]
fn is_clean(browser: &Browser, server: &Server) {
    assert_eq!(browser.console(), Vec::<Value>::new());
    let home = format!("http://{}/", server.address);
    let requests = browser.requests();
    assert!(requests.iter().any(|url| url.starts_with(&home)), "{requests:?}");
    // The browser has pages of itself.
    let elsewhere = |url: &&String| !["data:", "chrome:", &home].iter().any(|known| url.starts_with(*known));
    assert_eq!(requests.iter().find(elsewhere), None);
}

#[test]
fn the_list_is_searched_sorted_and_compared() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let place = folder();
    let server = Server::of(&place, &["runs"]);
    browser.visit(&format!("http://{}/", server.address));
    let count = "return document.querySelectorAll('#rows tr').length;";
    browser.wait_for(count, 3);
    let sort_by = |head: &str| {
        browser.run(&format!(
            "[...document.querySelectorAll('#head button')].find((button) => button.textContent === '{head}').click();"
        ));
        let sorted = browser.run("return document.querySelector('#head [aria-sort]').getAttribute('aria-sort');");
        (browser.run(NAMES), sorted)
    };
    assert_eq!(sort_by("run"), ("digits sweep/a sweep/b".into(), "ascending".into()));
    assert_eq!(sort_by("run"), ("sweep/b sweep/a digits".into(), "descending".into()));
    assert_eq!(sort_by("step"), ("sweep/a sweep/b digits".into(), "descending".into()));
    let search = |text: &str| {
        browser.run(&format!("find('search').value = '{text}'; find('search').oninput();"));
        browser.run(NAMES)
    };
    assert_eq!(search("SWEEP"), "sweep/a sweep/b");
    assert_eq!(search("finished"), "digits");
    assert_eq!(search("nowhere"), "");
    assert_eq!(browser.run("return find('empty').textContent;"), "No run has this name or state.");
    search("");

    // A telephone shows all of it.
    browser.resize(390, 800);
    let width = browser.run("return document.documentElement.scrollWidth;");
    assert!(width.as_u64().unwrap() <= 390, "{width}");
    browser.resize(1280, 900);

    // A ticked run is compared as well if a search hides it.
    browser.run("document.querySelector('[aria-label=\"Compare sweep/b\"]').click();");
    search("digits");
    browser.run("document.querySelector('[aria-label=\"Compare digits\"]').click();");
    assert_eq!(browser.run("return find('compare').textContent;"), "Compare 2 runs");
    browser.run("find('compare').click();");
    browser.wait_for("return document.querySelector('#title')?.textContent ?? '';", "2 runs");
    let names = browser.run("return runs.map((run) => run.name).sort().join(' ');");
    assert_eq!(names, "digits sweep/b");
    let drawn =
        "return [...document.querySelectorAll('figure canvas')].filter((canvas) => canvas.width > 100).length > 2;";
    browser.wait_for(drawn, true);
    is_clean(&browser, &server);
}

#[test]
fn a_page_grows_with_its_run_and_is_not_loaded_again() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let place = Workplace::new();
    let log = run(&place, "run", &lines(0..9));
    let server = Server::of(&place, &["run"]);
    // A single run is shown at once.
    browser.visit(&format!("http://{}/", server.address));
    let shown =
        "return [window.mark ?? '', runs[0].curves.get('loss').x.at(-1), charts[0].plot.data[0].at(-1)].join(' ');";
    browser.wait_for(shown, " 8 8");
    browser.run("window.mark = 'kept';");
    append(&log, &line(9, 0.25));
    browser.wait_for(shown, "kept 9 9");
    browser.wait_for("return charts[0].readout.textContent.includes('0.25');", true);
    // A resume cuts the log back, and makes other steps.
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(lines(0..4).len() as u64).unwrap();
    append(&log, &line(4, 0.125));
    browser.wait_for(shown, "kept 4 4");
    let end = r#"{"outcome":"failed","step":5,"error":"no space","exit_code":1,"unix_time":1.0}"#;
    fs::write(place.path("run/outcome.json"), end).unwrap();
    browser.wait_for("return document.getElementById('live').textContent;", "failed");
    browser.wait_for("return document.querySelector('#runs .bad')?.textContent ?? '';", "run: no space");
    is_clean(&browser, &server);
}

#[test]
fn predictions_come_when_their_place_is_seen_and_once_for_a_checkpoint() {
    let Some(browser) = Browser::start(1280, 700) else { return };
    let place = Workplace::with_run();
    let server = Server::of(&place, &["run"]);
    browser.visit(&format!("http://{}/", server.address));
    let outcome = "return document.querySelector('#outcome p')?.textContent ?? '';";
    browser.wait_for(outcome, "Made with the newest checkpoint when this is seen …");
    let asked = || browser.requests().iter().filter(|url| url.contains("/predictions.json")).count();
    assert_eq!(asked(), 0);
    browser.run("find('outcome').scrollIntoView();");
    browser.wait_for(outcome, "The model after step 20, on 6 validation rows.");
    browser.wait_for("return document.querySelectorAll('#outcome .confusion tbody tr').length;", 2);
    // The same again, without any computing: the data is gone.
    fs::remove_file(place.path("rows.csv")).unwrap();
    let again = server.get(&format!("/predictions.json?run={}", server.id("run")));
    assert!(again.code == 200 && again.body.contains("\"again_in\":null"), "{}", again.body);
    assert_eq!(asked(), 1);
    assert_eq!(browser.console(), Vec::<Value>::new());
}
