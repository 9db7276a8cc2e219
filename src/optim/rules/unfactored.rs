//! Adafactor's passes over the numbers of a parameter that is not factored, and its mean of steps.

use super::super::formula::{Formula, Summed};
use super::super::number::Number;

/// How weights move by a direction.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// Factor of the weights.
    pub shrink: f64,
    /// Multiple of the direction by which the weights move, unless they move by a mean.
    pub taken: f64,
    /// The mean of steps by which they move.
    pub mean: Option<StepMean>,
}

/// A mean of steps.
#[derive(Clone, Copy)]
pub(super) struct StepMean {
    /// Share of it that is kept.
    pub kept: f64,
    /// Multiple of the direction that is a step.
    pub taken: f64,
    /// Multiple of the mean by which the weights move.
    pub moved: f64,
    /// Whether each step, and the mean after it, are rounded to bf16.
    pub is_bf16: bool,
}

impl StepMean {
    /// Returns the mean after a step in this direction.
    #[inline(always)]
    pub fn after<X: Number>(self, mean: X, direction: X) -> X {
        if self.is_bf16 {
            let step = direction.times(self.taken).to_bf16();
            return mean.mean_with(step, 1.0 - self.kept).to_bf16();
        }
        mean.times(self.kept) + direction.times(self.taken * (1.0 - self.kept))
    }
}

/// The direction of a step by its mean squares.
#[derive(Clone, Copy)]
pub(super) struct Direction {
    /// The smallest mean square that counts.
    pub least: f64,
}

impl Direction {
    #[inline(always)]
    fn of<X: Number>(self, gradient: X, square: X) -> X {
        gradient / square.within(self.least, f64::INFINITY).root()
    }
}

/// The update of the mean squares. Its terms are the squares of the direction and of the weights.
#[derive(Clone, Copy)]
pub(super) struct Squares {
    pub added: f64,
    pub share: f64,
    pub direction: Direction,
}

impl Summed<2, 2> for Squares {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean]: [X; 2], g: X) -> ([X; 2], [X; 2]) {
        let mean = mean.mean_with(g.clone().square().plus(self.added), self.share);
        let moved = self.direction.of(g, mean.clone());
        ([weight.clone(), mean], [moved.square(), weight.square()])
    }
}

/// The movement of the weights.
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub direction: Direction,
    pub taken: f64,
    pub shrink: f64,
}

impl Formula<2> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square]: [X; 2], g: X) -> [X; 2] {
        let moved = self.direction.of(g, square.clone()).times(self.taken);
        [weight.times(self.shrink) - moved, square]
    }
}

/// The movement of the weights by a mean of steps.
#[derive(Clone, Copy)]
pub(super) struct MoveByMean {
    pub direction: Direction,
    pub mean: StepMean,
    pub shrink: f64,
}

impl Formula<3> for MoveByMean {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square, mean]: [X; 3], g: X) -> [X; 3] {
        let mean = self.mean.after(mean, self.direction.of(g, square.clone()));
        [weight.times(self.shrink) - mean.clone().times(self.mean.moved), square, mean]
    }
}
