//! A series as the lines that can be seen of it.

use super::Series;
use super::axis::Axis;

/// A line: points as shares of the two axes, by rising `x`.
pub type Line = Vec<(f64, f64)>;

/// The lines of a series, broken where a point has no place, at most four points in each of `columns` columns: its
/// first, lowest, highest and last one, so that a spike of a single point stays as high as it is.
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
    for points in placed.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let gap = |point: Option<&(f64, Option<f64>)>| point.is_some_and(|point| point.1.is_none());
        if gap(points.first()) {
            lines.push(std::mem::take(&mut line));
        }
        let drawn: Line = points.iter().filter_map(|point| Some((point.0, point.1?))).collect();
        line.extend(outline(&drawn));
        if gap(points.last()) {
            lines.push(std::mem::take(&mut line));
        }
    }
    lines.push(line);
    lines.retain(|line| !line.is_empty());
    lines
}

/// The first, lowest, highest and last point, in their order.
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
        let x = Axis::spanning(points.iter().map(|point| point.0), false).unwrap();
        let y = Axis::spanning(points.iter().map(|point| point.1), false).unwrap();
        lines(&Series { name: String::new(), points }, &x, &y, columns)
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
}
