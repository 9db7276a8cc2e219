use super::floor::Floor;
use super::*;

kind! {
    /// `eta_min + (base - eta_min) / 2 * (1 - tanh(lb * (1 - x) + ub * x))` with `x = t / t_max`, then `eta_min`.
    ///
    /// It starts below `base` by the share `(1 + tanh(lb)) / 2` of the distance to `eta_min`, and at `t == t_max` jumps
    /// to `eta_min` from the share `(1 - tanh(ub)) / 2` above it.
    ///
    /// Source: Hsueh, Li and Wu, "Stochastic gradient descent with hyperbolic-tangent decay" (2019); timm's
    /// `TanhLRScheduler`.
    tanh => Tanh {
        /// The time at which the floor is reached.
        t_max: Length where AT_LEAST_ONE,
        /// The start on the hyperbolic tangent, below `ub`; -7 by default.
        lb: f64 = -7.0,
        /// The end on it, above `lb`; 3 by default.
        ub: f64 = 3.0,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Tanh {
    fn plan(&self, context: &Context) -> Planned {
        let t_max = context.period("t_max", self.t_max)?;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        let (lb, ub) = (self.lb, self.ub);
        if lb >= ub {
            return Err(context.refuse("lb", lb, &format!("it must be below ub, which is {ub}")));
        }
        curve(move |t, base| {
            let eta_min = floor.rate(base);
            if t >= t_max {
                return eta_min;
            }
            let x = progress(t, t_max);
            eta_min + (base - eta_min) / 2.0 * (1.0 - (lb * (1.0 - x) + ub * x).tanh())
        })
    }

    fn length(&self) -> Option<Length> {
        Some(self.t_max)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        Some(Self { t_max: length, ..self.clone() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_falls_to_the_floor_and_holds_it() {
        let schedule = Schedule::tanh(10).lb(-2.0).ub(2.0).eta_min(0.5);
        let first = 0.5 + 0.25 * (1.0 + 2f64.tanh());
        assert_close(rates(schedule, [0, 5, 10, u64::MAX]), [first, 0.75, 0.5, 0.5]);
    }

    #[test]
    fn bounds_out_of_order_are_refused() {
        assert_eq!(refusal(Schedule::tanh(10).lb(4.0)), "`tanh`: lb is 4; it must be below ub, which is 3");
    }
}
