use super::*;
use crate::schedule::Point;

words! {
    /// Interpolation between two points.
    Interpolate {
        /// The factor of the earlier point.
        Step = "step",
        /// A straight line.
        Linear = "linear",
        /// Half a cosine.
        Cosine = "cosine",
    }
}

kind! {
    /// `base` times a factor that goes through `points`, each of them `[t, factor]`.
    ///
    /// At the `t` of a point the factor is that of the point. It is constant before the first point and after the last.
    ///
    /// Source: optax's `piecewise_constant_schedule` (whose scales multiply up) and `piecewise_interpolate_schedule`.
    piecewise => Piecewise {
        /// The points, in order of their `t`.
        points: List<Point>,
        /// The interpolation between points; a step by default.
        interpolate: Interpolate = Interpolate::Step,
    }
}

impl Kind for Piecewise {
    fn plan(&self, context: &Context) -> Planned {
        let mut points: Vec<(u64, f64)> = Vec::with_capacity(self.points.len());
        for (index, point) in self.points.iter().enumerate() {
            let t = context.length(&format!("points[{index}][0]"), point.t)?;
            let factor = context.not_negative(&format!("points[{index}][1]"), point.factor)?;
            if points.last().is_some_and(|&(last, _)| t <= last) {
                return Err(context.refuse(&format!("points[{index}][0]"), t, "it must come after the one ahead of it"));
            }
            points.push((t, factor));
        }
        let Some(&first) = points.first() else {
            return Err(context.refuse("points", "an empty list", "there must be at least one point"));
        };
        let interpolate = self.interpolate;
        curve(move |t, base| {
            let (before, after) = points.split_at(points.partition_point(|&(at, _)| at <= t));
            let &(start, from) = before.last().unwrap_or(&first);
            let Some(&(end, to)) = after.first().filter(|_| !before.is_empty()) else { return base * from };
            let x = (t - start) as f64 / (end - start) as f64;
            base * match interpolate {
                Interpolate::Step => from,
                Interpolate::Linear => from + (to - from) * x,
                Interpolate::Cosine => half_cosine(from, to, x),
            }
        })
    }

    fn length(&self) -> Option<Length> {
        self.points.last().map(|point| point.t)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn through(interpolate: Interpolate) -> Piecewise {
        Schedule::piecewise([(2, 1.0), (6, 0.5)]).interpolate(interpolate)
    }

    #[test]
    fn it_goes_through_its_points_and_is_held_outside() {
        let ts = [0, 2, 4, 5, 6, u64::MAX];
        assert_close(rates(through(Interpolate::Step), ts), [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]);
        assert_close(rates(through(Interpolate::Linear), ts), [1.0, 1.0, 0.75, 0.625, 0.5, 0.5]);
        let late = half_cosine(1.0, 0.5, 0.75);
        assert_close(rates(through(Interpolate::Cosine), ts), [1.0, 1.0, 0.75, late, 0.5, 0.5]);
    }

    #[test]
    fn points_out_of_order_are_refused() {
        let message = refusal(Schedule::piecewise([(6, 1.0), (6, 0.5)]));
        assert_eq!(message, "`piecewise`: points[1][0] is 6; it must come after the one ahead of it");
    }

    #[test]
    fn no_points_are_refused() {
        let message = refusal(Schedule::piecewise(Vec::<Point>::new()));
        assert_eq!(message, "`piecewise`: points is an empty list; there must be at least one point");
    }
}
