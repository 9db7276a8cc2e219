//! Numbers over the steps of a run, in a few thousand buckets. A bucket keeps its least and its greatest value, so no
//! peak is lost, and memory does not grow with the run.

/// Maximal number of buckets: many more than a terminal has dots.
const BUCKETS: usize = 1 << 13;

/// The values of neighbouring steps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    first: u64,
    last: u64,
    low: f64,
    high: f64,
    sum: f64,
    count: u64,
}

impl Bucket {
    fn of(step: u64, value: f64) -> Self {
        Self { first: step, last: step, low: value, high: value, sum: value, count: 1 }
    }

    fn add(&mut self, other: &Self) {
        self.last = other.last;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.sum += other.sum;
        self.count += other.count;
    }

    fn middle(&self) -> f64 {
        (self.first as f64 + self.last as f64) / 2.0
    }
}

/// A number over the steps.
#[derive(Clone, Debug)]
pub struct Series {
    buckets: Vec<Bucket>,
    /// Number of steps of a bucket.
    width: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self { buckets: Vec::new(), width: 1 }
    }
}

impl Series {
    /// Adds the value of a step, which is a later one than those before. A value that is not finite is left out.
    pub fn push(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let new = Bucket::of(step, value);
        match self.buckets.last_mut() {
            Some(last) if last.first / self.width == step / self.width => last.add(&new),
            _ => self.buckets.push(new),
        }
        if self.buckets.len() > BUCKETS {
            self.widen();
        }
    }

    /// Makes the buckets twice as wide, until half of them are left.
    fn widen(&mut self) {
        while self.buckets.len() > BUCKETS / 2 {
            self.width = self.width.saturating_mul(2);
            let width = self.width;
            let mut wider: Vec<Bucket> = Vec::with_capacity(BUCKETS);
            for bucket in &self.buckets {
                match wider.last_mut() {
                    Some(last) if last.first / width == bucket.first / width => last.add(bucket),
                    _ => wider.push(*bucket),
                }
            }
            self.buckets = wider;
        }
    }

    /// Removes the steps from `step` on. A bucket that has some of them is removed whole: its values cannot be told
    /// apart.
    pub fn cut(&mut self, step: u64) {
        let kept = self.buckets.partition_point(|bucket| bucket.last < step);
        self.buckets.truncate(kept);
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns the line through the values of the steps in `range`, for a chart with `columns` of dots: in a column the
    /// least and the greatest value.
    pub fn line(&self, range: (f64, f64), columns: usize) -> Vec<(f64, f64)> {
        let width = (range.1 - range.0).max(1.0) / columns.max(1) as f64;
        let column = |bucket: &Bucket| ((bucket.middle() - range.0) / width) as i64;
        let mut points: Vec<(f64, f64)> = Vec::new();
        let mut inside = self.inside(range).peekable();
        while let Some(first) = inside.next() {
            let mut all = *first;
            while let Some(next) = inside.next_if(|next| column(next) == column(first)) {
                all.add(next);
            }
            points.push((all.middle(), all.low));
            if all.high > all.low {
                points.push((all.middle(), all.high));
            }
        }
        points
    }

    /// Returns the line of the values after smoothing, as [`Series::line`]: an exponential average, divided by the sum
    /// of its weights, so that the first values do not lean towards 0.
    pub fn smooth_line(&self, range: (f64, f64), columns: usize, share: f64) -> Vec<(f64, f64)> {
        let (mut average, mut weights) = (0.0, 0.0);
        let mut smoothed = Self { buckets: Vec::with_capacity(self.buckets.len()), width: self.width };
        for bucket in &self.buckets {
            let kept = share.powf(bucket.count as f64);
            average = kept * average + (1.0 - kept) * bucket.sum / bucket.count as f64;
            weights = kept * weights + (1.0 - kept);
            let value = average / weights;
            smoothed.buckets.push(Bucket { low: value, high: value, sum: value, count: 1, ..*bucket });
        }
        smoothed.line(range, columns)
    }

    fn inside(&self, (first, last): (f64, f64)) -> impl Iterator<Item = &Bucket> {
        self.buckets.iter().filter(move |bucket| (first..=last).contains(&bucket.middle()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_in_a_long_run_and_in_few_columns() {
        let mut series = Series::default();
        for step in 0..200_000 {
            series.push(step, if step == 123_456 { 9.0 } else { 1.0 });
        }
        assert!(series.buckets.len() <= BUCKETS);
        let line = series.line((0.0, 200_000.0), 50);
        assert!(line.len() <= 102, "{}", line.len());
        let peak: Vec<f64> = line.iter().filter(|(_, value)| *value == 9.0).map(|(step, _)| *step).collect();
        assert!(peak.len() == 1 && (peak[0] - 123_456.0).abs() < 4000.0, "{peak:?}");
        assert!(series.line((0.0, 100.0), 50).iter().all(|(_, value)| *value == 1.0));
    }

    #[test]
    fn steps_that_are_cut_are_gone_and_can_come_again() {
        let mut series = Series::default();
        (0..10).for_each(|step| series.push(step, step as f64));
        series.cut(5);
        series.push(5, 50.0);
        series.push(6, f64::NAN);
        assert_eq!(series.line((0.0, 100.0), 1000).last(), Some(&(5.0, 50.0)));
        (7..20_000).for_each(|step| series.push(step, 0.0));
        series.cut(10_001);
        assert!(series.line((0.0, 1e6), 100_000).iter().all(|(step, _)| *step < 10_001.0));
    }

    #[test]
    fn smoothing_begins_at_the_first_value() {
        let mut series = Series::default();
        series.push(0, 4.0);
        series.push(1, 1.0);
        assert_eq!(series.smooth_line((0.0, 9.0), 100, 0.5), [(0.0, 4.0), (1.0, 2.0)]);
    }
}
