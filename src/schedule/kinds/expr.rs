use super::super::formula::Formula;
use super::*;

kind! {
    /// A formula of `t` and `base` that gives the rate itself: `base * 0.5^(t/100)`.
    ///
    /// It has the numbers `t`, `base` and `pi`; the operators `+ - * / % ^` (or `**`) with their usual precedence, so
    /// that `-t^2` is `-(t^2)` and `2^3^2` is `2^(3^2)`; and `sqrt exp ln log10 log2 sin cos tan tanh abs floor ceil
    /// round`, `pow(x, y)`, and `min` and `max` of two or more. `t` is exact up to 2^53.
    ///
    /// A formula that cannot be read is refused when the run is planned; one that is not finite somewhere in the run,
    /// by [`Scheduler::new`](crate::schedule::Scheduler::new). A negative result counts as 0. So does a NaN after the
    /// end of the run, or between the updates that are checked in a long run. Infinity becomes the largest f64.
    ///
    /// Source: PyTorch's `LambdaLR`, except that this gives the rate and not its ratio to `base`, and that it is saved.
    expr => Expr {
        /// The formula.
        formula: String,
    }
}

impl Kind for Expr {
    fn plan(&self, context: &Context) -> Planned {
        let formula = Formula::read(&self.formula).map_err(|fault| {
            let rule = format!("{}\n{}", fault.message, caret(&self.formula, fault.at));
            context.refuse("formula", self.formula.write(), &rule)
        })?;
        curve(move |t, base| formula.value(t as f64, base))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_is_its_formula() {
        assert_eq!(rates(Schedule::expr("base * 0.5^(t/2)"), [0, 2, 4]), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn below_zero_it_is_zero() {
        assert_eq!(rates(Schedule::expr("1 - t/10"), [5, 10, 11, u64::MAX]), [0.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_fault_is_pointed_at() {
        let message = refusal(Schedule::expr("base * sqr(t)"));
        let expected = "`expr`: formula is \"base * sqr(t)\"; a formula has no `sqr`; did you mean `sqrt`?\n  \
                        base * sqr(t)\n         ^";
        assert_eq!(message, expected);
    }
}
