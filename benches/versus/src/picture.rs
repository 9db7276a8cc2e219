//! The results of the first number of threads as bars, one group for each workload.

use std::fmt::Write as _;

use crate::programs::CONTESTANTS;
use crate::results::Results;
use crate::table::workloads;

const COLOURS: [&str; 5] = ["#d1495b", "#2e4057", "#66788a", "#edae49", "#8d96a3"];
const LEFT: f64 = 110.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 15.0;

/// Bars as long as a step takes, in multiples of Rekindle's.
pub fn bars(results: &Results) -> String {
    let threads = results.steps.first().map_or(0, |steps| steps.threads);
    let ratio = |workload: &str, name: &str| {
        let own = results.of(workload, threads, "Rekindle")?.microseconds;
        Some(results.of(workload, threads, name)?.microseconds / own)
    };
    let ratio = &ratio;
    let all = workloads().flat_map(|(w, _)| CONTESTANTS.iter().filter_map(move |(_, name)| ratio(&w, name)));
    let longest = all.fold(1.0, f64::max);
    let (mut y, mut body) = (40.0, String::new());
    for (workload, what) in workloads() {
        if CONTESTANTS.iter().all(|(_, name)| ratio(&workload, name).is_none()) {
            continue;
        }
        y += 16.0;
        let _ = writeln!(body, "<text x=\"12\" y=\"{y}\" font-weight=\"bold\">{what}</text>");
        y += 6.0;
        for ((_, name), colour) in CONTESTANTS.iter().zip(COLOURS) {
            let Some(ratio) = ratio(&workload, name) else { continue };
            let (width, middle) = (ratio / longest * WIDTH, y + BAR - 4.0);
            let _ = writeln!(
                body,
                "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>\n\
                 <text x=\"{end:.1}\" y=\"{middle}\">{ratio:.2}</text>",
                x = LEFT - 6.0,
                height = BAR - 3.0,
                end = LEFT + width + 5.0,
            );
            y += BAR;
        }
        y += 8.0;
    }
    let (width, height) = (LEFT + WIDTH + 60.0, y + 10.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\">Time of a training step, Rekindle = 1, {threads} thread(s)</text>\n\
         {body}</svg>\n"
    )
}
