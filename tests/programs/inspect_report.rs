//! `inspect report` as a program, and its page in a browser.

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::browser::Browser;
use crate::common::programs::Workplace;
use crate::server::Server;

/// A run that needs escaping wherever its name is used.
const NAME: &str = "a<b> & </script>";

/// Writes a run of this name, without checkpoints: 400 steps, and a process that was killed.
fn write_run(folder: &Path, name: &str) -> PathBuf {
    let run = folder.join(name.replace('/', "\u{2215}"));
    fs::create_dir_all(&run).unwrap();
    let mut log = String::new();
    for step in 0..400_u32 {
        let loss = 2.0 / (1.0 + f64::from(step) / 40.0) + f64::from(step * 7919 % 101) / 1000.0;
        let validation = if step % 50 == 49 { format!(",\"val_loss\":{}", loss + 0.1) } else { String::new() };
        let (epoch, lr) = (step / 50 + 1, 0.1 * (1.0 - f64::from(step) / 400.0));
        writeln!(
            log,
            "{{\"step\":{step},\"epoch\":{epoch},\"lr\":[{lr}],\"loss\":{loss},\"grad_norm\":1.5{validation}}}"
        )
        .unwrap();
    }
    fs::write(run.join("log.jsonl"), log).unwrap();
    let times = [("begin", 0, 100), ("copied", 200, 120), ("begin", 200, 150), ("step", 300, 160), ("end", 400, 171)];
    let line = |(event, step, time)| {
        format!("{{\"event\":\"{event}\",\"step\":{step},\"seconds\":0.5,\"unix_time\":{time},\"memory\":5000000}}\n")
    };
    fs::write(run.join("timing.jsonl"), times.map(line).concat()).unwrap();
    run
}

/// Turns the wheel three times over the first chart, and tells which charts are on the screen and how often each was
/// drawn.
const TURN: &str = "const told = arguments[0]; \
    for (const chart of charts) { chart.drawn = 0; (chart.plot.hooks.draw ??= []).push(() => chart.drawn++); } \
    const { over } = charts[0].plot; const box = over.getBoundingClientRect(); \
    const turn = { deltaY: -100, ctrlKey: true, clientX: box.left + box.width / 2, bubbles: true, cancelable: true }; \
    for (let times = 0; times < 3; times++) over.dispatchEvent(new WheelEvent('wheel', turn)); \
    requestAnimationFrame(() => requestAnimationFrame(() => \
        told(charts.map((chart) => [chart.isSeen, chart.drawn]))));";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The place of an element in the window: left, top, width and height.
fn place(browser: &Browser, selector: &str) -> [f64; 4] {
    let script = format!(
        "const box = document.querySelector({selector:?}); box.scrollIntoView({{block: 'center'}}); \
         const at = box.getBoundingClientRect(); return [at.left, at.top, at.width, at.height];"
    );
    let found = browser.run(&script);
    std::array::from_fn(|side| number(&found[side]))
}

#[test]
fn a_page_in_a_browser_shows_the_logged_values_and_asks_for_nothing() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let folder = Workplace::with_run();
    let run = write_run(&folder.path(""), NAME);
    let page = folder.path("page.html");
    folder.inspect(&["report", "run", run.to_str().unwrap(), "-o", "page.html"]).says(0, &[]);
    browser.open(&page);

    let titles = browser.run("return [...document.querySelectorAll('figure h2')].map((title) => title.textContent);");
    for title in ["Loss", "Time line", "Learning rate", "Gradient norm", "Throughput, steps per second"] {
        assert!(titles.as_array().unwrap().contains(&title.into()), "{title} is not in {titles}");
    }
    let drawn = "return [...document.querySelectorAll('figure')].filter((figure) => \
                 figure.querySelector('canvas')?.width > 100).length;";
    assert_eq!(browser.run(drawn), titles.as_array().unwrap().len());

    // The value at the cursor is the one in the log, of the step at the cursor.
    let [left, top, width, height] = place(&browser, "#charts .u-over");
    browser.point(&[(left + width / 3.0, top + height / 2.0), (left + width / 2.0, top + height / 2.0)], false);
    let read = "const [chart] = charts; const { idx } = chart.plot.cursor; \
                return [chart.plot.data[0][idx], chart.readout.textContent];";
    let found = browser.run(read);
    let (step, text) = (number(&found[0]) as usize, found[1].as_str().unwrap());
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let line: Value = serde_json::from_str(log.lines().nth(step).unwrap()).unwrap();
    let value = browser.run(&format!("return number({});", line["loss"]));
    assert!(text.contains(value.as_str().unwrap()), "step {step} has {value}: {text}");
    assert!(text.starts_with(&format!("step {step}")), "{text}");

    // The cursor moves by the keyboard, and the value is spoken.
    browser.run("charts[0].box.focus();");
    browser.press(&["\u{E012}", "\u{E012}"]);
    let spoken = browser.run("return document.getElementById('spoken').textContent;");
    assert!(spoken.as_str().unwrap().contains(&format!("at step {}", step - 2)), "{spoken}");

    // Dragging zooms every chart, and a double click shows all.
    let span = "return charts.map((chart) => chart.plot.scales.x.max - chart.plot.scales.x.min);";
    let whole = browser.run(span);
    let middle = top + height / 2.0;
    browser.point(&[(left + width * 0.4, middle), (left + width * 0.5, middle), (left + width * 0.6, middle)], true);
    let largest = "return Math.max(...charts.map((chart) => chart.plot.scales.x.max - chart.plot.scales.x.min)) < 120;";
    browser.wait_for(largest, true);
    browser.run("charts[0].plot.over.dispatchEvent(new MouseEvent('dblclick', { bubbles: true }));");
    assert_eq!(browser.run(span), whole);
    // However often the wheel turns in a frame, a chart on the screen is drawn once, and no other one is.
    let drawn = browser.run_until_told(TURN);
    for chart in drawn.as_array().unwrap() {
        assert!(number(&chart[1]) == 1.0 || chart[0] == false && number(&chart[1]) == 0.0, "{drawn}");
    }
    browser.wait_for(largest, false);
    browser.wait_for("return new Set(charts.map((chart) => chart.plot.scales.x.min)).size;", 1);
    browser.run("find('reset').click();");
    assert_eq!(browser.run(span), whole);

    // Axes, themes and tables work, and so does a page on paper.
    browser.run("for (const chart of charts) chart.details.open = true; find('theme').click(); find('log-x').click();");
    browser.run(
        "for (const chart of charts) if (chart.log.isConnected) chart.log.click(); onbeforeprint(); onafterprint();",
    );
    browser.run("for (const axis of ['epoch', 'time']) { find('axis').value = axis; find('axis').onchange({ target: find('axis') }); }");
    let name = browser.run("return document.querySelector('#runs tbody tr:nth-child(2) th').textContent.trim();");
    assert_eq!(name, run.file_name().unwrap().to_str().unwrap());
    let loaded = "return performance.getEntriesByType('resource').map((entry) => entry.name);";
    assert_eq!(browser.run(loaded).as_array().map(Vec::len), Some(0));
    assert_eq!(browser.console(), Vec::<Value>::new());
}

#[test]
fn a_page_fits_a_narrow_window() {
    let Some(browser) = Browser::start(390, 800) else { return };
    let folder = Workplace::with_run();
    folder.inspect(&["report", "run", "-o", "page.html"]).says(0, &[]);
    browser.open(&folder.path("page.html"));
    // A window of Chromium is at least 500 wide, so the body is made narrow.
    let widest = browser.run(
        "document.body.style.width = '360px'; \
         return Math.max(...[...document.querySelectorAll('header, main > *, figure')].map((element) => element.scrollWidth));",
    );
    assert!(number(&widest) <= 361.0, "{widest}");
}

#[test]
fn a_page_is_one_file_with_everything_of_its_runs() {
    let folder = Workplace::with_run();
    let run = write_run(&folder.path(""), NAME);
    folder.inspect(&["report", "run", run.to_str().unwrap(), "-o", "page.html"]).says(0, &[]);
    let page = fs::read_to_string(folder.path("page.html")).unwrap();
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let [trained, killed] = [0, 1].map(|place| &data["runs"][place]);
    assert_eq!(
        (&trained["name"], &trained["state"], &trained["step"]),
        (&"run".into(), &"finished".into(), &20.into())
    );
    let kinds = |run: &Value| -> Vec<String> {
        run["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        kinds(trained),
        ["begin", "checkpoint", "checkpoint", "checkpoint", "checkpoint", "finish", "checkpoint"]
    );
    assert_eq!(kinds(killed), ["begin", "kill", "resume", "stop"]);
    assert!(trained["config"].as_array().unwrap().iter().any(|setting| setting["key"] == "optimizer.lr"));
    assert!(trained["weights"]["tensors"].as_array().unwrap().iter().any(|tensor| tensor["histogram"][0].is_u64()));
    let counts = trained["predictions"]["review"]["classes"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().map(|count| count[2].as_u64().unwrap()).sum::<u64>(), 6);
    assert_eq!(killed["predictions"], Value::Null);
}

#[test]
fn a_folder_of_runs_is_a_page_about_all_and_the_page_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let place = Workplace::with_run();
    let runs = folder.path().join("runs");
    for name in ["a", "b"] {
        crate::common::copy_tree(&place.path("run"), &runs.join(name));
    }
    let page = |arguments: &[&str]| place.inspect(&[&["report", runs.to_str().unwrap()], arguments].concat());
    let told = page(&["--quick"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.contains("\"name\":\"a\"") && told.out.contains("\"name\":\"b\""));
    assert_eq!(page(&["--quick"]).out, told.out);
}

#[test]
fn a_run_whose_name_is_no_text_is_shown() {
    let place = Workplace::with_run();
    fs::create_dir(place.path("runs")).unwrap();
    fs::rename(place.path("run"), place.path("runs").join(OsStr::from_bytes(b"a\xff"))).unwrap();
    let page = place.inspect(&["report", "runs", "--quick"]);
    assert!(page.code == Some(0) && page.out.contains("\"name\":\"a\u{fffd}\""), "{}", page.err);
    let list = place.inspect(&["runs", "--json"]);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["runs"][0]["name"], "a\u{fffd}");
    let server = Server::of(&place, &["runs"]);
    assert_eq!(server.list()[0]["step"], 20);
}

#[test]
fn a_place_without_a_run_is_refused_and_no_page_is_left() {
    let place = Workplace::new();
    place.inspect_refuses(
        2,
        &["report", "nothing", "-o", "page.html"],
        &["nothing has no log.jsonl; give a run directory"],
    );
    let place = Workplace::with_run();
    place.inspect_refuses(
        2,
        &["report", "run", "-o", "absent/page.html"],
        &["absent/page.html cannot be written", "--output"],
    );
}

#[test]
fn predictions_without_their_data_are_left_out_with_the_reason() {
    let place = Workplace::with_run();
    fs::remove_file(place.path("rows.csv")).unwrap();
    place.inspect(&["report", "run", "-o", "page.html"]).says(0, &[]);
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("there are no predictions: ") && page.contains("\"histogram\":["));
}

/// Turns the wheel in 60 frames, in and out again, and tells the time of a frame in milliseconds, on average and
/// at most, and how many charts are drawn in all and are on the screen.
const WHEEL: &str = "const told = arguments[0]; let drawn = 0; const times = []; \
    for (const chart of charts) (chart.plot.hooks.draw ??= []).push(() => drawn++); \
    const { over } = charts[0].plot; const box = over.getBoundingClientRect(); let step = 0; \
    const next = () => { \
        if (step === 60) return told([times.reduce((a, b) => a + b) / 60, Math.max(...times), drawn, charts.filter((chart) => chart.isSeen).length]); \
        const began = performance.now(); const deltaY = step++ < 30 ? -60 : 60; \
        over.dispatchEvent(new WheelEvent('wheel', { deltaY, ctrlKey: true, clientX: box.left + box.width / 3, bubbles: true, cancelable: true })); \
        requestAnimationFrame(() => setTimeout(() => { times.push(performance.now() - began); requestAnimationFrame(next); })); \
    }; requestAnimationFrame(next);";

/// The same zooms in plots of uPlot with the data of the charts on the screen and without anything of ours.
const ALONE: &str = "const told = arguments[0]; const times = []; let step = 0, part = 1; \
    const plots = charts.filter((chart) => chart.isSeen && chart.lines.length).map((chart) => { \
        const { width, height, legend, scales, axes, series } = chart.plotOptions(chart.plot.width); \
        return new uPlot({ width, height, legend, scales, axes, series }, chart.plot.data, document.body); }); \
    const [first, last] = [plots[0].data[0][0], plots[0].data[0].at(-1)]; \
    const next = () => { \
        if (step === 60) return told([times.reduce((a, b) => a + b) / 60, Math.max(...times), plots.length]); \
        const began = performance.now(); part *= 2 ** ((step++ < 30 ? -60 : 60) / 200); \
        const middle = first + (last - first) / 3; \
        for (const plot of plots) plot.setScale('x', { min: middle - (middle - first) * part, max: middle + (last - middle) * part }); \
        requestAnimationFrame(() => setTimeout(() => { times.push(performance.now() - began); requestAnimationFrame(next); })); \
    }; requestAnimationFrame(next);";

/// Prints how long a page about a million steps takes. Run it with
/// `cargo test --release --test programs a_million_steps -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_million_steps_are_written_opened_and_zoomed() {
    let folder = tempfile::tempdir().unwrap();
    let (run, page) = (folder.path().join("million"), folder.path().join("page.html"));
    fs::create_dir(&run).unwrap();
    let mut log = String::new();
    for step in 0..1_000_000_u64 {
        let noise = |seed: u64| ((step + 1) * seed % 1_000_003) as f64 / 1_000_003.0;
        let (lr, loss, norm) = (noise(7919) / 1e3, noise(104_729), noise(1_299_709));
        writeln!(log, "{{\"step\":{step},\"epoch\":1,\"lr\":[{lr}],\"loss\":{loss},\"grad_norm\":{norm}}}").unwrap();
    }
    fs::write(run.join("log.jsonl"), log).unwrap();
    let began = Instant::now();
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_inspect"));
    assert!(inspect.arg("report").arg(&run).arg("-o").arg(&page).status().unwrap().success());
    println!("written in {:?}, {} bytes", began.elapsed(), fs::metadata(&page).unwrap().len());
    let Some(browser) = Browser::start(1600, 1000) else { return };
    browser.open(&page);
    let opened = "const [found] = performance.getEntriesByType('navigation'); \
                  return [found.domContentLoadedEventEnd, found.loadEventEnd];";
    println!("milliseconds until its charts are drawn, and until it is loaded: {}", browser.run(opened));
    println!("milliseconds of a frame and charts drawn, while the wheel turns: {}", browser.run_until_told(WHEEL));
    println!("milliseconds of a frame of as many charts of uPlot alone: {}", browser.run_until_told(ALONE));
    let smooth = "const began = performance.now(); view.smooth = 0.9; for (const chart of charts) chart.refresh(); return performance.now() - began;";
    println!("milliseconds of a change of the smoothing: {}", browser.run(smooth));
}
