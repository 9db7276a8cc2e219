//! Reduces a series to its visible lines.

use super::axis::Axis;
use super::{Series, Shape};

/// A line: points as shares of the two axes, in ascending order of `x`.
pub type Line = Vec<(f64, f64)>;

/// Returns the lines of a series, broken at points that cannot be drawn, with at most four points in each of `columns`
/// columns: the first, lowest, highest and last, so that a spike of a single point keeps its height. Steps are drawn
/// along the axes from each of these points to the next, so a jump is vertical whatever number of points share its
/// column.
pub fn lines(series: &Series, x: &Axis, y: &Axis, columns: usize) -> Vec<Line> {
    let columns = columns.max(1);
    let places = series.points.iter().filter_map(|point| Some((x.place(point.0)?, y.place(point.1))));
    let mut placed: Vec<(f64, Option<f64>)> = places.collect();
    if !placed.is_sorted_by(|a, b| a.0 <= b.0) {
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let column = |share: f64| ((share * columns as f64) as usize).min(columns - 1);
    let mut lines = Vec::new();
    let mut line = Line::new();
    let mut end_line = |line: &mut Line, end: Option<f64>| {
        let points = std::mem::take(line);
        match series.shape {
            Shape::Line => lines.push(points),
            Shape::Steps => lines.push(staircase(&points, end)),
            Shape::Points => lines.extend(points.into_iter().map(|point| vec![point])),
        }
    };
    for points in placed.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let gap = |point: Option<&(f64, Option<f64>)>| point.filter(|point| point.1.is_none()).map(|point| point.0);
        if let Some(begin) = gap(points.first()) {
            end_line(&mut line, Some(begin));
        }
        let drawn: Line = points.iter().filter_map(|point| Some((point.0, point.1?))).collect();
        line.extend(outline(&drawn));
        if let Some(begin) = gap(points.last()) {
            end_line(&mut line, Some(begin));
        }
    }
    end_line(&mut line, series.end().and_then(|end| x.place(end)));
    lines.retain(|line| !line.is_empty());
    lines
}

/// Returns the corners of the steps through `points`; the last step continues to `end`.
fn staircase(points: &[(f64, f64)], end: Option<f64>) -> Line {
    let mut line = Line::new();
    for &(x, y) in points {
        match line.last() {
            Some(&(_, height)) if height == y => continue,
            Some(&(_, height)) => line.extend([(x, height), (x, y)]),
            None => line.push((x, y)),
        }
    }
    let last = points.last().zip(end).filter(|(point, end)| point.0 < *end);
    line.extend(last.map(|(point, end)| (end, point.1)));
    line
}

/// Returns the first, lowest, highest and last point, in their order.
fn outline(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let by_height = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
    let lowest = (0..points.len()).min_by(by_height);
    let highest = (0..points.len()).max_by(by_height);
    let mut kept: Vec<usize> = [Some(0), lowest, highest, points.len().checked_sub(1)].into_iter().flatten().collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().filter_map(|index| points.get(index).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(points: Vec<(f64, f64)>, columns: usize) -> Vec<Line> {
        drawn(Series { points, ..Series::default() }, columns)
    }

    fn steps(points: Vec<(f64, f64)>, columns: usize) -> Vec<Line> {
        drawn(Series { shape: Shape::Steps, points, ..Series::default() }, columns)
    }

    fn drawn(series: Series, columns: usize) -> Vec<Line> {
        let x = Axis::spanning(series.points.iter().map(|point| point.0).chain(series.end()), false).unwrap();
        let y = Axis::spanning(series.points.iter().map(|point| point.1), false).unwrap();
        lines(&series, &x, &y, columns)
    }

    #[test]
    fn a_spike_of_one_point_among_a_million_stays() {
        let points = (0..1_000_000).map(|step| (f64::from(step), if step == 654_321 { 9.0 } else { 1.0 }));
        let lines = sampled(points.collect(), 800);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() <= 4 * 800);
        assert_eq!(lines[0].iter().filter(|point| point.1 == 1.0).count(), 1);
    }

    #[test]
    fn few_points_are_all_drawn_and_sorted() {
        let lines = sampled(vec![(2.0, 1.0), (0.0, 0.0), (1.0, 3.0)], 100);
        assert_eq!(lines, [vec![(0.0, 0.0), (0.5, 1.0), (1.0, 1.0 / 3.0)]]);
    }

    #[test]
    fn a_point_without_a_place_leaves_a_gap() {
        let lines = sampled(vec![(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.0)], 100);
        assert_eq!(lines, [vec![(0.0, 0.0), (0.25, 1.0)], vec![(0.75, 1.0), (1.0, 0.0)]]);
    }

    #[test]
    fn steps_hold_their_height_until_the_next_and_the_last_is_as_wide_as_the_one_before() {
        let lines = steps(vec![(0.0, 0.0), (1.0, 0.0), (2.0, 1.0), (3.0, 0.5)], 100);
        assert_eq!(lines, [vec![(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.75, 1.0), (0.75, 0.5), (1.0, 0.5)]]);
    }

    #[test]
    fn steps_never_slope_however_many_there_are() {
        for count in [2, 10, 1000, 100_000] {
            let points = (0..count).map(|step| (f64::from(step), f64::from(step * 7919 % 101)));
            for columns in [1, 7, 800] {
                let lines = steps(points.clone().collect(), columns);
                let [line] = lines.as_slice() else { panic!("{count} steps are {} lines", lines.len()) };
                let slopes = line.windows(2).filter(|pair| pair[0].0 != pair[1].0 && pair[0].1 != pair[1].1);
                assert_eq!(slopes.count(), 0, "{count} steps in {columns} columns");
                assert!(line.len() <= 8 * columns + 2);
            }
        }
    }

    #[test]
    fn a_step_without_a_place_leaves_a_gap_as_wide_as_it_is() {
        let lines = steps(vec![(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0)], 100);
        let before = vec![(0.0, 0.0), (0.25, 0.0), (0.25, 1.0), (0.5, 1.0)];
        assert_eq!(lines, [before, vec![(0.75, 1.0), (1.0, 1.0)]]);
    }
}
