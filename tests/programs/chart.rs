//! A chart shows any data correctly.

use proptest::prelude::*;
use rekindle::report::chart::{Chart, Mark, Phase, Series, Shape, Size};
use resvg::tiny_skia::{Color, Pixmap};
use resvg::usvg::roxmltree::Document;

fn series(name: &str, steps: u32, rate: impl Fn(f64) -> f64) -> Series {
    let points = (0..=steps).map(f64::from).map(|step| (step, rate(step))).collect();
    Series { name: name.to_owned(), shape: Shape::Line, points }
}

fn phase(name: &str, from: f64, to: f64) -> Phase {
    Phase { name: name.to_owned(), from, to }
}

/// A cosine with warmup for two groups, halted at step 300.
fn cosine() -> Chart {
    let rate = |peak: f64| {
        move |step: f64| match step < 50.0 {
            true => peak * step / 50.0,
            false => peak * 0.5 * (1.0 + ((step - 50.0) / 950.0 * std::f64::consts::PI).cos()),
        }
    };
    Chart {
        title: "warmup(50) -> cosine(950)".to_owned(),
        x_label: "step".to_owned(),
        y_label: "learning rate".to_owned(),
        series: vec![series("decay", 1000, rate(0.1)), series("no decay", 1000, rate(0.05))],
        phases: vec![phase("warmup", 0.0, 50.0), phase("cosine", 50.0, 1000.0)],
        marks: vec![Mark { x: 300.0, label: "step 300".to_owned() }],
        ..Chart::default()
    }
}

/// The braille plot's characters, row by row.
fn plot(text: &str) -> Vec<Vec<char>> {
    let rows = text.lines().filter_map(|line| line.split_once(['┤', '│']).filter(|(label, _)| !label.contains('└')));
    rows.map(|(_, cells)| cells.chars().collect()).collect()
}

#[test]
fn equal_charts_give_equal_bytes() {
    assert_eq!(cosine().to_svg(), cosine().to_svg());
    assert_eq!(cosine().to_png().unwrap(), cosine().to_png().unwrap());
}

#[test]
fn the_svg_names_everything_in_text() {
    let mut chart = cosine();
    chart.title = "<a> & \"b\" \u{1b}[0m".to_owned();
    let svg = chart.to_svg();
    let document = Document::parse(&svg).unwrap();
    let words: Vec<&str> = document.descendants().filter_map(|node| node.text()).map(str::trim).collect();
    for expected in ["<a> & \"b\"  [0m", "step", "learning rate", "decay", "no decay", "warmup", "cosine", "step 300"] {
        assert!(words.contains(&expected), "{expected:?} is missing among {words:?}");
    }
}

#[test]
fn the_png_shows_each_series_in_its_colour() {
    let pixels = Pixmap::decode_png(&cosine().to_png().unwrap()).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (1920, 1080));
    for colour in [[0x00, 0x72, 0xB2], [0xD5, 0x5E, 0x00]] {
        let [red, green, blue] = colour;
        let colour = Color::from_rgba8(red, green, blue, 255).premultiply().to_color_u8();
        assert!(pixels.pixels().iter().filter(|&&pixel| pixel == colour).count() > 1000);
    }
}

#[test]
fn the_png_draws_text_without_any_font_installed() {
    let words = Chart { title: "mmmm".to_owned(), ..Chart::default() };
    let dark = |chart: &Chart| {
        let pixels = Pixmap::decode_png(&chart.to_png().unwrap()).unwrap();
        pixels.pixels().iter().filter(|pixel| pixel.red() < 0x40).count()
    };
    assert!(dark(&words) > dark(&Chart::default()) + 100);
}

#[test]
fn a_million_points_make_a_small_svg() {
    let noise = |step: f64| (step * 12.9898).sin().fract();
    let names = ["a", "b", "c", "d", "e", "f"];
    let chart = Chart { series: names.map(|name| series(name, 1_000_000, noise)).to_vec(), ..Chart::default() };
    assert!(chart.to_svg().len() < 200_000);
    let mut steps = chart.clone();
    steps.series.iter_mut().for_each(|series| series.shape = Shape::Steps);
    assert!(steps.to_svg().len() < 200_000);
    let one = Chart { series: chart.series[..1].to_vec(), ..Chart::default() };
    assert!(one.to_svg().len() < 100_000);
}

/// Ten updates; the first five have a rate and the others do not.
fn two_steps() -> Chart {
    let points = (0..10).map(|t| (f64::from(t), if t < 5 { 1.0 } else { 0.0 })).collect();
    Chart { series: vec![Series { shape: Shape::Steps, points, ..Series::default() }], ..Chart::default() }
}

#[test]
fn steps_are_drawn_along_the_axes_up_to_the_end_of_the_last() {
    let svg = two_steps().to_svg();
    let document = Document::parse(&svg).unwrap();
    let line = document.descendants().find(|node| node.attribute("stroke-width") == Some("2")).unwrap();
    let path = line.attribute("d").unwrap();
    // Level, down, level: nothing else, and to the right end of the chart.
    let commands: String = path.chars().filter(char::is_ascii_alphabetic).collect();
    assert_eq!(commands, "MHVH", "{path}");
    let labels: Vec<&str> = document.descendants().filter_map(|node| node.text()).map(str::trim).collect();
    assert!(labels.contains(&"10"), "the last update ends there: {labels:?}");
}

#[test]
fn steps_in_the_terminal_are_upright_where_they_fall() {
    let text = two_steps().to_braille(60, 10);
    let plot = plot(&text);
    let columns = |row: &[char]| (0..row.len()).filter(|&column| row[column] != ' ').collect::<Vec<_>>();
    let (first, last) = (columns(&plot[0]), columns(&plot[9]));
    let jump = *first.last().unwrap();
    assert!(first == (0..=jump).collect::<Vec<_>>() && last[0] == jump, "{text}");
    assert!(plot[1..9].iter().all(|row| columns(row) == [jump]), "{text}");
}

#[test]
fn a_chart_is_as_large_as_it_is_asked_to_be() {
    let small = Chart { size: Size { width: 300, height: 180 }, ..cosine() };
    assert!(small.to_svg().contains("width=\"300\" height=\"180\" viewBox=\"0 0 300 180\""));
    let pixels = Pixmap::decode_png(&small.to_png().unwrap()).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (600, 360));
}

#[test]
fn the_terminal_plot_has_its_lines_and_the_extremes_in_theirs() {
    let chart = Chart {
        title: "triangle".to_owned(),
        x_label: "step".to_owned(),
        y_label: "rate".to_owned(),
        series: vec![series("rate", 100, |step| 50.0 - (step - 50.0).abs())],
        ..Chart::default()
    };
    let text = chart.to_braille(60, 10);
    // Title, name of the vertical axis, the plot, the horizontal axis in two lines, its name.
    assert_eq!(text.lines().count(), 1 + 1 + 10 + 2 + 1, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    let plot = plot(&text);
    let columns = |row: &[char]| (0..row.len()).filter(|&column| row[column] != ' ').collect::<Vec<_>>();
    let (top, bottom) = (columns(&plot[0]), columns(&plot[9]));
    assert!(top.iter().all(|column| (24..34).contains(column)), "{text}");
    assert!(bottom.first() == Some(&0) && bottom.last().is_some_and(|&last| last > 50), "{text}");
}

#[test]
fn the_terminal_plot_tells_series_marks_and_phases_apart() {
    let text = cosine().to_braille(80, 12);
    assert!(text.contains("a decay   b no decay"), "{text}");
    assert!(plot(&text).iter().flatten().any(|&letter| letter == 'b'), "{text}");
    assert!(text.contains("┊step 300") && text.contains("│warmup") && text.contains("│cosine"), "{text}");
}

fn number() -> impl Strategy<Value = f64> {
    let odd =
        [0.0, -0.0, 1.0, 1e-320, f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![proptest::sample::select(odd.to_vec()), -10.0..10.0, any::<f64>()]
}

prop_compose! {
    fn any_chart()(
        words in proptest::collection::vec(any::<String>(), 6),
        logs in any::<(bool, bool)>(),
        points in proptest::collection::vec(proptest::collection::vec((number(), number()), 0..6), 0..4),
        phases in proptest::collection::vec((number(), number()), 0..4),
        marks in proptest::collection::vec(number(), 0..4),
        has_steps in any::<bool>(),
        (width, height) in (0u16..1200, 0u16..700),
    ) -> Chart {
        let shape = if has_steps { Shape::Steps } else { Shape::Line };
        let word = |index: usize| words[index].clone();
        Chart {
            title: word(0),
            x_label: word(1),
            y_label: word(2),
            size: Size { width, height },
            log_x: logs.0,
            log_y: logs.1,
            series: points.into_iter().map(|points| Series { name: word(3), shape, points }).collect(),
            phases: phases.into_iter().map(|(from, to)| Phase { name: word(4), from, to }).collect(),
            marks: marks.into_iter().map(|x| Mark { x, label: word(5) }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn any_chart_can_be_drawn(chart in any_chart(), width in 0usize..200, height in 0usize..60) {
        let svg = chart.to_svg();
        let document = Document::parse(&svg);
        prop_assert!(document.is_ok(), "{}", svg);
        prop_assert!(lies_within_the_drawing(&document.unwrap()), "{}", svg);
        prop_assert!(!svg.contains("NaN") || chart_says(&chart, "NaN"));
        let text = chart.to_braille(width, height);
        prop_assert!(text.lines().all(|line| line.chars().count() <= width.max(20)), "{}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_chart_can_be_made_pixels(chart in any_chart()) {
        prop_assert!(chart.to_png().is_ok());
    }
}

/// Whether every path begins, bends and ends inside the drawing.
fn lies_within_the_drawing(document: &Document) -> bool {
    let size = |name: &str| document.root_element().attribute(name).unwrap().parse::<f64>().unwrap();
    let largest = size("width").max(size("height"));
    let paths = document.descendants().filter_map(|node| node.attribute("d"));
    let mut numbers = paths.flat_map(|path| path.split(|c: char| c.is_ascii_alphabetic() || c == ','));
    numbers.all(|number| number.is_empty() || (0.0..=largest).contains(&number.parse().unwrap()))
}

fn chart_says(chart: &Chart, word: &str) -> bool {
    let names = chart.series.iter().map(|series| &series.name).chain(chart.phases.iter().map(|phase| &phase.name));
    let labels = chart.marks.iter().map(|mark| &mark.label).chain([&chart.title, &chart.x_label, &chart.y_label]);
    names.chain(labels).any(|text| text.contains(word))
}
