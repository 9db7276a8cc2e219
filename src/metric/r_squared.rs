//! The coefficient of determination.

use candle_core::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::{Metric, Tally, Task, task};

/// Coefficient of determination: 1 minus the squared errors over the squared distances of the targets from their mean,
/// averaged over the values of a row, as scikit-learn's `r2_score`. Where all targets are equal it is 1 if every
/// output is right, otherwise 0. It is not defined for a single row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RSquared {}

impl Metric for RSquared {
    fn more_is_better() -> bool {
        true
    }

    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        task::values(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Columns::default())
    }
}

#[derive(Debug, Default)]
struct Columns {
    rows: u64,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, Default)]
struct Column {
    squared_errors: ExactSum,
    targets: ExactSum,
    squared_targets: ExactSum,
}

impl Column {
    fn value(&self, rows: f64) -> f64 {
        let squared_errors = self.squared_errors.value();
        // Rows times the squared distances from the mean: a difference of two numbers that may be nearly equal, so that
        // both are computed with twice the digits.
        let squares = product(self.squared_targets.pair(), (rows, 0.0));
        let square_of_sum = product(self.targets.pair(), self.targets.pair());
        let distances = (squares.0 - square_of_sum.0) + (squares.1 - square_of_sum.1);
        match distances > 0.0 {
            true => 1.0 - squared_errors * rows / distances,
            false if squared_errors == 0.0 => 1.0,
            false => 0.0,
        }
    }

    fn sums(&mut self) -> [&mut ExactSum; 3] {
        [&mut self.squared_errors, &mut self.targets, &mut self.squared_targets]
    }
}

/// The product of two numbers that are each a sum of two.
fn product((a, a_rest): (f64, f64), (b, b_rest): (f64, f64)) -> (f64, f64) {
    let high = a * b;
    (high, a.mul_add(b, -high) + (a * b_rest + a_rest * b))
}

impl Tally for Columns {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let rows = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_from(1)?.to_vec2::<f64>();
        for (outputs, targets) in rows(outputs)?.iter().zip(&rows(targets)?) {
            self.rows += 1;
            self.columns.resize(targets.len(), Column::default());
            for ((column, output), target) in self.columns.iter_mut().zip(outputs).zip(targets) {
                column.squared_errors.add((target - output) * (target - output));
                column.targets.add(*target);
                column.squared_targets.add(target * target);
            }
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        if self.rows < 2 {
            return f64::NAN;
        }
        let values = self.columns.iter().map(|column| column.value(self.rows as f64));
        values.sum::<f64>() / self.columns.len() as f64
    }

    fn sums(&self) -> Option<Vec<f64>> {
        let columns = self.columns.iter().flat_map(|column| {
            let Column { squared_errors, targets, squared_targets } = column;
            squared_errors.parts().chain(targets.parts()).chain(squared_targets.parts())
        });
        Some([self.rows as f64].into_iter().chain(columns).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        let Some((rows, columns)) = sums.split_first() else { return };
        let parts = columns.chunks_exact(ExactSum::PARTS);
        self.rows += *rows as u64;
        self.columns.resize(self.columns.len().max(parts.len() / 3), Column::default());
        let sums = self.columns.iter_mut().flat_map(Column::sums);
        sums.zip(parts).for_each(|(sum, parts)| sum.add_parts(parts));
    }
}
