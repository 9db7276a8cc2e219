//! Weights that a component lends in place of the trained ones: for a validation, and for a trained model.

use std::str::FromStr;

use candle_core::{Tensor, Var};

use super::{Component, Makers};
use crate::backtrace::without_backtrace;
use crate::checkpoint::Checkpoint;
use crate::parameters::Parameters;
use crate::train::TrainError;

/// The weights of a checkpoint that a trained model uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Those that validations use: of the component that lends them, or else the trained ones.
    #[default]
    Evaluated,
    /// The trained ones.
    Trained,
    /// Those of the component of this name, such as `ema`.
    Of(String),
}

/// `trained`, or the name of a component.
impl FromStr for Weights {
    type Err = std::convert::Infallible;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(if word == "trained" { Self::Trained } else { Self::Of(word.to_owned()) })
    }
}

/// Returns the weights that an evaluation uses in place of the trained ones.
///
/// # Errors
/// Two components provide weights.
pub(in crate::train) fn lent<'a>(
    mut components: impl Iterator<Item = (&'a str, &'a dyn Component)>,
) -> Result<Option<&'a Parameters>, TrainError> {
    let mut next = || components.find_map(|(name, component)| Some((name, component.evaluation_weights()?)));
    match (next(), next()) {
        (Some((first, _)), Some((second, _))) => Err(TrainError::Field {
            field: format!("components.{second}"),
            value: "weights for evaluations".to_owned(),
            rule: format!("`components.{first}` provides them too; remove one of the two"),
        }),
        (lent, _) => Ok(lent.map(|(_, weights)| weights)),
    }
}

/// Sets `weights`, those of a checkpoint's model, to the chosen ones of the checkpoint.
///
/// # Errors
/// The checkpoint has no such weights, two components provide some, or the state of a component does not fit.
pub(crate) fn apply_lent(
    makers: &Makers<'_>,
    checkpoint: &Checkpoint,
    weights: &Parameters,
    chosen: &Weights,
) -> Result<(), TrainError> {
    if *chosen == Weights::Trained {
        return Ok(());
    }
    let mut made = Vec::new();
    for name in makers.names() {
        let mut component = makers.make(name)?;
        checkpoint.restore_some(&mut [(&format!("components.{name}"), &mut *component)])?;
        made.push((name, component));
    }
    let lent = match chosen {
        Weights::Of(wanted) => {
            let component =
                made.iter().find(|(name, _)| *name == wanted.as_str()).ok_or_else(|| no_such(wanted, &made))?;
            Some(component.1.own_weights().ok_or_else(|| none_yet(wanted, checkpoint))?)
        }
        _ => lent(made.iter().map(|(name, component)| (*name, &**component)))?,
    };
    for (name, var) in lent.iter().flat_map(|lent| lent.iter()) {
        set(weights.get(name).ok_or_else(|| unknown(name))?, var)?;
    }
    Ok(())
}

fn no_such(wanted: &str, made: &[(&str, Box<dyn Component>)]) -> TrainError {
    let others: Vec<&str> = made.iter().map(|(name, _)| *name).collect();
    let rule = match others[..] {
        [] => "the run keeps no other weights than the trained ones; take `trained`, or leave it out".to_owned(),
        _ => format!("the run has no such component; take `{}` or `trained`", others.join("`, `")),
    };
    TrainError::Field { field: "weights".to_owned(), value: wanted.to_owned(), rule }
}

fn none_yet(wanted: &str, checkpoint: &Checkpoint) -> TrainError {
    let rule = format!(
        "it has no weights at step {} yet; take a later checkpoint, or the weights `trained`",
        checkpoint.step()
    );
    TrainError::Field { field: "weights".to_owned(), value: wanted.to_owned(), rule }
}

/// Runs `work` while the variables of `own` have the values of `lent`, by name, and then restores their own values.
///
/// # Errors
/// `lent` has a name or a shape that `own` does not have, a device fails, or `work` fails.
pub(in crate::train) fn with_weights<T>(
    own: &Parameters,
    lent: Option<&Parameters>,
    work: impl FnOnce() -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let Some(lent) = lent else { return work() };
    let mut kept = Vec::with_capacity(lent.len());
    for (name, var) in lent.iter() {
        let own = own.get(name).ok_or_else(|| unknown(name))?;
        kept.push((own, own.as_tensor().copy()?));
        if let Err(error) = set(own, var) {
            restore(&kept)?;
            return Err(error);
        }
    }
    let done = work();
    restore(&kept)?;
    done
}

/// Sets a variable to another, which may be of a wider type.
fn set(own: &Var, lent: &Var) -> Result<(), TrainError> {
    let value = lent.to_dtype(own.dtype()).and_then(|value| own.set(&value));
    value.map_err(|error| without_backtrace(error).into())
}

fn restore(kept: &[(&Var, Tensor)]) -> Result<(), TrainError> {
    kept.iter().try_for_each(|(var, value)| Ok(var.set(value)?))
}

fn unknown(name: &str) -> TrainError {
    TrainError::Field {
        field: "components".to_owned(),
        value: name.to_owned(),
        rule: "a component has weights of this name for evaluations, and the model has none".to_owned(),
    }
}
