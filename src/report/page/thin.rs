//! Thins a curve while it is read: of each bucket of steps the first, lowest, highest and last point stay, so a spike of
//! one step in a million is seen. Memory does not grow with the number of steps.

use serde::Serialize;

/// Points of a curve that keeps all of them.
const SHORT: usize = 500;

/// A step and its value.
type Point = (u64, f64);

/// A curve for the page. Steps are differences, the first from 0, because these have few digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curve {
    /// Its name in the log, with the place in its list: `loss`, `lr.0`.
    pub name: String,
    /// Number of steps in a bucket; 1 if every point is there.
    pub every: u64,
    /// The step of each point, less that of the point before.
    pub x: Vec<u64>,
    /// The value of each point; `None` if it is not a finite number.
    pub y: Vec<Option<f64>>,
    /// The mean of each bucket, for a smoothed curve that extremes do not bend; absent if every point is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub means: Option<Means>,
}

/// The means of buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Means {
    /// The middle step of each bucket, less that of the bucket before.
    pub x: Vec<u64>,
    /// The mean of its finite values.
    pub y: Vec<f64>,
}

/// The points of neighbouring steps.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: Point,
    lowest: Point,
    highest: Point,
    last: Point,
    /// The first step whose value is not finite.
    gap: Option<u64>,
    sum: f64,
    /// Number of finite values.
    count: u64,
}

impl Bucket {
    fn of(point: Point) -> Self {
        let (step, value) = point;
        let is_finite = value.is_finite();
        Self {
            first: point,
            lowest: point,
            highest: point,
            last: point,
            gap: (!is_finite).then_some(step),
            sum: if is_finite { value } else { 0.0 },
            count: u64::from(is_finite),
        }
    }

    /// Adds the bucket of the steps that follow.
    fn add(&mut self, next: &Self) {
        self.gap = self.gap.or(next.gap);
        match (self.count, next.count) {
            (_, 0) => (),
            (0, _) => *self = Self { gap: self.gap, ..*next },
            _ => {
                self.last = next.last;
                if next.lowest.1 < self.lowest.1 {
                    self.lowest = next.lowest;
                }
                if next.highest.1 > self.highest.1 {
                    self.highest = next.highest;
                }
                self.sum += next.sum;
                self.count += next.count;
            }
        }
    }

    /// Returns its points in their order, a gap among them.
    fn points(&self) -> Vec<(u64, Option<f64>)> {
        let mut points: Vec<(u64, Option<f64>)> = self.gap.map(|step| (step, None)).into_iter().collect();
        if self.count > 0 {
            points.extend([self.first, self.lowest, self.highest, self.last].map(|(step, value)| (step, Some(value))));
        }
        points.sort_by_key(|point| point.0);
        points.dedup_by_key(|point| point.0);
        points
    }
}

/// Thins one curve.
#[derive(Clone, Debug)]
pub struct Thinner {
    /// Steps in a bucket: a power of two.
    width: u64,
    most: usize,
    buckets: Vec<Bucket>,
    /// The last step, and its value.
    newest: Option<Point>,
    /// The first step whose points have changed since somebody asked.
    changed: Option<u64>,
}

impl Thinner {
    /// Creates a curve without points that keeps at most `most` buckets.
    pub fn new(most: usize) -> Self {
        Self { width: 1, most: most.max(1), buckets: Vec::new(), newest: None, changed: None }
    }

    /// Adds a point. One whose step is not after all others is ignored: a step has one value.
    pub fn push(&mut self, step: u64, value: f64) {
        if self.newest.is_some_and(|(newest, _)| step <= newest) {
            return;
        }
        let one = Bucket::of((step, value));
        let place = step / self.width;
        match self.buckets.last_mut().filter(|_| self.newest.is_some_and(|(newest, _)| newest / self.width == place)) {
            Some(last) => last.add(&one),
            None => self.buckets.push(one),
        }
        self.newest = Some((step, value));
        // All points of a bucket may have changed.
        self.changed = Some(self.changed.map_or(place * self.width, |changed| changed.min(place * self.width)));
        while self.buckets.len() > self.most && self.width < u64::MAX {
            self.widen();
        }
    }

    /// Returns the first step whose points have changed since the last call; `None` if no point has.
    pub fn take_changed(&mut self) -> Option<u64> {
        self.changed.take()
    }

    /// Returns the last value, finite or not.
    pub fn newest(&self) -> Option<(u64, f64)> {
        self.newest
    }

    /// Makes buckets twice as wide.
    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.changed = Some(0);
        let width = self.width;
        self.buckets.dedup_by(|next, before| {
            // The step by which a bucket is placed: its first, or that of a gap without any value.
            let is_same = next.first.0 / width == before.first.0 / width;
            if is_same {
                before.add(next);
            }
            is_same
        });
    }

    /// Returns the part of the curve from a step on; nothing if it has no points there.
    pub fn curve_from(&self, name: &str, from: u64) -> Option<Curve> {
        // The bucket before may have points there too.
        let before = self.buckets.partition_point(|bucket| bucket.first.0 < from).saturating_sub(1);
        let whole = self.curve_of(name, self.buckets.get(before..).unwrap_or_default());
        let (x, y) = part_from(whole.x, whole.y, from);
        let means = whole.means.map(|means| part_from(means.x, means.y, from)).map(|(x, y)| Means { x, y });
        (!x.is_empty()).then_some(Curve { x, y, means, ..whole })
    }

    /// Returns the curve.
    pub fn curve(&self, name: &str) -> Curve {
        self.curve_of(name, &self.buckets)
    }

    fn curve_of(&self, name: &str, buckets: &[Bucket]) -> Curve {
        let mut points: Vec<(u64, Option<f64>)> = buckets.iter().flat_map(Bucket::points).collect();
        // A short curve may be drawn as points.
        if points.len() > SHORT {
            drop_flat(&mut points);
        }
        let means = (self.width > 1).then(|| {
            let filled = buckets.iter().filter(|bucket| bucket.count > 0);
            let (x, y): (Vec<u64>, Vec<f64>) =
                filled.map(|bucket| (bucket.first.0.midpoint(bucket.last.0), bucket.sum / bucket.count as f64)).unzip();
            Means { x: differences(x), y }
        });
        let (x, y) = points.into_iter().unzip();
        Curve { name: name.to_owned(), every: self.width, x: differences(x), y, means }
    }
}

/// Returns the points from a step on; steps are differences.
fn part_from<T>(x: Vec<u64>, y: Vec<T>, from: u64) -> (Vec<u64>, Vec<T>) {
    let mut at = 0;
    let first = x.iter().take_while(|more| {
        at += **more;
        at < from
    });
    let first = first.count();
    let (mut x, y): (Vec<u64>, Vec<T>) = x.into_iter().zip(y).skip(first).unzip();
    if let Some(step) = x.first_mut() {
        *step = at;
    }
    (x, y)
}

/// Removes points between two equal neighbours: a constant rate is a line with two ends.
fn drop_flat(points: &mut Vec<(u64, Option<f64>)>) {
    let values: Vec<Option<f64>> = points.iter().map(|point| point.1).collect();
    let mut place = 0;
    points.retain(|(_, value)| {
        let is_same = |other: Option<&Option<f64>>| other == Some(value);
        let is_flat = place > 0 && is_same(values.get(place - 1)) && is_same(values.get(place + 1));
        place += 1;
        !is_flat
    });
}

fn differences(mut steps: Vec<u64>) -> Vec<u64> {
    let mut before = 0;
    for step in &mut steps {
        before = std::mem::replace(step, step.saturating_sub(before));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinned(values: impl Iterator<Item = f64>, most: usize) -> Curve {
        let mut thinner = Thinner::new(most);
        (0..).zip(values).for_each(|(step, value)| thinner.push(step, value));
        thinner.curve("loss")
    }

    fn steps(curve: &Curve) -> Vec<u64> {
        curve
            .x
            .iter()
            .scan(0, |at, more| {
                *at += more;
                Some(*at)
            })
            .collect()
    }

    #[test]
    fn a_peak_of_one_step_in_a_million_stays() {
        let value = |step: u32| match step {
            654_321 => 9.0,
            123_456 => -9.0,
            step => f64::from(step * 7919 % 101) / 101.0,
        };
        let curve = thinned((0..1_000_000).map(value), 4096);
        assert!(curve.x.len() <= 4 * 4096 && curve.x.len() > 4096, "{}", curve.x.len());
        let at = |value: f64| curve.y.iter().position(|y| *y == Some(value)).map(|place| steps(&curve)[place]);
        assert_eq!((at(9.0), at(-9.0)), (Some(654_321), Some(123_456)));
        assert_eq!((steps(&curve)[0], steps(&curve).last().copied()), (0, Some(999_999)));
        assert!(steps(&curve).is_sorted_by(|a, b| a < b));
        assert_eq!(curve.every, 256);
    }

    #[test]
    fn a_short_curve_has_all_its_points() {
        let curve = thinned([3.0, 1.0, 2.0].into_iter(), 4);
        assert_eq!((steps(&curve), curve.every, &curve.means), (vec![0, 1, 2], 1, &None));
        assert_eq!(curve.y, [3.0, 1.0, 2.0].map(Some));
        assert_eq!(thinned(std::iter::empty(), 4).x, Vec::<u64>::new());
    }

    #[test]
    fn means_are_of_the_finite_values_of_a_bucket() {
        let means = thinned([1.0, 3.0, f64::NAN, 8.0, 5.0].into_iter(), 3).means.unwrap();
        assert_eq!((means.x, means.y), (vec![0, 3, 1], vec![2.0, 8.0, 5.0]));
    }

    #[test]
    fn a_value_that_is_no_number_leaves_a_gap_at_its_step() {
        let values = (0..4000).map(|step| if step == 1001 { f64::INFINITY } else { f64::from(step % 5) });
        let curve = thinned(values, 16);
        let gaps: Vec<u64> =
            steps(&curve).into_iter().zip(&curve.y).filter_map(|(x, y)| y.is_none().then_some(x)).collect();
        assert_eq!(gaps, [1001]);
        let all = thinned((0..100).map(|_| f64::NAN), 4);
        assert!(all.y.iter().all(Option::is_none) && all.x.len() <= 4);
    }

    #[test]
    fn a_constant_has_two_points_and_a_jump_keeps_its_steps() {
        let values = (0..1000).map(|step| if step < 700 { 0.1 } else { 0.01 });
        let curve = thinned(values, 1000);
        assert_eq!(steps(&curve), [0, 699, 700, 999]);
    }

    #[test]
    fn a_step_that_is_there_already_is_ignored() {
        let mut thinner = Thinner::new(10);
        [(5, 1.0), (5, 2.0), (3, 3.0), (6, 4.0)].into_iter().for_each(|(step, value)| thinner.push(step, value));
        assert_eq!(thinner.curve("loss").x, [5, 1]);
        assert_eq!(thinner.newest(), Some((6, 4.0)));
    }

    #[test]
    fn the_part_of_a_curve_from_what_has_changed_completes_what_was_there() {
        for most in [4, 16, 64] {
            let mut thinner = Thinner::new(most);
            let mut shown: Vec<(u64, Option<f64>)> = Vec::new();
            for step in 0..1000_u64 {
                thinner.push(3 * step, if step % 97 == 5 { f64::NAN } else { (step * 7919 % 101) as f64 });
                if step % 7 != 0 {
                    continue;
                }
                let from = thinner.take_changed().unwrap();
                let part = thinner.curve_from("loss", from).unwrap();
                shown.retain(|(step, _)| *step < from);
                shown.extend(steps(&part).into_iter().zip(part.y.iter().copied()));
                let whole = thinner.curve("loss");
                let whole: Vec<_> = steps(&whole).into_iter().zip(whole.y).collect();
                assert_eq!(shown, whole, "{most} buckets, step {step}");
            }
        }
        assert_eq!(Thinner::new(4).take_changed(), None);
        assert_eq!(Thinner::new(4).curve_from("loss", 0), None);
    }
}
