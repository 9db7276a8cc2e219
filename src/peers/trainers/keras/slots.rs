//! Variables that a Keras optimizer has for each weight: which of the numbered arrays they are.
//!
//! The order is that of `build` in Keras' `src/optimizers`: averages (`use_ema`) and accumulators first, each for all
//! weights; then the class's own, where those that are made together alternate.

use crate::peers::tensor::Tensor;
use crate::peers::tree::Ref;

/// Names of variables that alternate: one of each for the first weight, then for the second.
type Round = &'static [&'static str];

/// Variables by name, one for each weight.
pub(super) struct Slots {
    /// Shapes of the weights in the optimizer's order.
    pub(super) shapes: Vec<Vec<usize>>,
    named: Vec<(&'static str, Vec<Tensor>)>,
    /// A number for all weights.
    number: Option<(&'static str, f64)>,
}

impl Slots {
    /// Returns the variables of a name.
    pub(super) fn of(&self, name: &str) -> Option<&[Tensor]> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, tensors)| tensors.as_slice())
    }

    /// Returns the number that all weights share, as Nadam has.
    pub(super) fn numbers(&self) -> Vec<(String, f64)> {
        self.number.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    }

    /// Returns the state of a weight; averages are no state of it, and neither is what cannot be told.
    pub(super) fn states(&self, weight: usize) -> Vec<(String, Tensor)> {
        let of_weight =
            |(name, tensors): &(&'static str, Vec<Tensor>)| Some(((*name).to_owned(), tensors.get(weight)?.clone()));
        self.named.iter().filter(|(name, _)| !["average", UNTOLD].contains(name)).filter_map(of_weight).collect()
    }
}

/// Name of averages or accumulators, where no configuration tells which of them the optimizer has.
pub(super) const UNTOLD: &str = "untold";

const AVERAGES: Round = &["average"];
const ACCUMULATORS: Round = &["gradient_accumulator"];

/// Assigns the variables after the rate to their names; `None` where there are none, or the class is not known.
///
/// # Errors
/// They are not those of the class.
pub(super) fn slots(
    class: &str,
    config: Option<Ref<'_>>,
    variables: &[&Tensor],
    weights: usize,
) -> Result<Option<Slots>, String> {
    if variables.is_empty() || weights == 0 {
        return Ok(None);
    }
    let Some(layouts) = layouts(class, config) else { return Ok(None) };
    // The product of Nadam's momenta stands at the end.
    let (variables, number) = match variables.split_last() {
        Some((last, rest)) if class == "Nadam" && last.shape().is_empty() => (rest, last.scalar()),
        _ => (variables, None),
    };
    for layout in &layouts {
        let each: usize = layout.iter().map(|round| round.len()).sum();
        if each * weights == variables.len()
            && let Some(slots) = assign(layout, variables, weights)
        {
            return Ok(Some(Slots { number: number.map(|number| ("u_product", number)), ..slots }));
        }
    }
    let due: Vec<String> = layouts.iter().map(|layout| (layout.concat().len() * weights).to_string()).collect();
    Err(format!(
        "{} variables follow the rate, but {class} has {} for the {weights} weights that are trained, or they are of other shapes",
        variables.len(),
        due.join(" or "),
    ))
}

/// Assigns variables in rounds, if all of a weight have its shape.
fn assign(layout: &[Round], variables: &[&Tensor], weights: usize) -> Option<Slots> {
    let mut named: Vec<(&'static str, Vec<Tensor>)> = Vec::new();
    let mut rest = variables;
    for round in layout {
        let (own, after) = rest.split_at_checked(round.len() * weights)?;
        rest = after;
        for (at, name) in round.iter().enumerate() {
            let tensors = own.iter().skip(at).step_by(round.len()).map(|tensor| (*tensor).clone());
            named.push((name, tensors.collect()));
        }
    }
    // Factored moments have the shapes of rows and columns.
    let whole = || named.iter().filter(|(name, _)| !["r", "c"].contains(name));
    let shapes: Vec<Vec<usize>> = whole().next()?.1.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let alike = |tensors: &[Tensor]| tensors.iter().zip(&shapes).all(|(tensor, shape)| tensor.shape() == shape);
    whole().all(|(_, tensors)| alike(tensors)).then_some(Slots { shapes, named, number: None })
}

/// Returns the layouts that a class can have: one where the configuration tells its settings, else all, with the usual
/// ones first.
fn layouts(class: &str, config: Option<Ref<'_>>) -> Option<Vec<Vec<Round>>> {
    let own = rounds(class)?;
    let Some(config) = config else {
        let mut layouts = own.options();
        layouts.extend(own.options().into_iter().map(|own| [&[&[UNTOLD][..]][..], &own].concat()));
        layouts.extend(own.options().into_iter().map(|own| [&[AVERAGES, ACCUMULATORS][..], &own].concat()));
        return Some(layouts);
    };
    let is = |key: &str| {
        let value = config.get(key);
        value.is_some_and(|value| value.bool().unwrap_or_else(|| value.number().is_some_and(|number| number > 0.0)))
    };
    let mut layout = Vec::new();
    layout.extend(is("use_ema").then_some(AVERAGES));
    layout.extend(is("gradient_accumulation_steps").then_some(ACCUMULATORS));
    layout.extend(own.always.iter().copied());
    layout.extend(own.optional.iter().filter(|(key, _)| is(key)).map(|(_, round)| *round));
    Some(vec![layout])
}

/// The variables of a class: those it always has, and those that a setting asks for.
struct Rounds {
    always: &'static [Round],
    optional: &'static [(&'static str, Round)],
}

impl Rounds {
    /// Returns every choice of optional variables, the fewest first.
    fn options(&self) -> Vec<Vec<Round>> {
        let mut options = vec![self.always.to_vec()];
        for (_, round) in self.optional {
            let with: Vec<Vec<Round>> = options.iter().map(|option| [&option[..], &[*round]].concat()).collect();
            options.extend(with);
        }
        options.sort_by_key(Vec::len);
        options
    }
}

fn rounds(class: &str) -> Option<Rounds> {
    let (always, optional): (&[Round], &[(&str, Round)]) = match class {
        "SGD" => (&[], &[("momentum", &["momentum"])]),
        "Adam" | "AdamW" => (&[&["momentum", "velocity"]], &[("amsgrad", &["velocity_hat"])]),
        "Nadam" | "Lamb" => (&[&["momentum", "velocity"]], &[]),
        "Adamax" => (&[&["momentum", "norm"]], &[]),
        "Lion" => (&[&["momentum"]], &[]),
        "RMSprop" => (&[&["velocity"]], &[("momentum", &["momentum"]), ("centered", &["average_gradient"])]),
        "Adagrad" => (&[&["accumulator"]], &[]),
        "Adadelta" => (&[&["accumulated_grad", "accumulated_delta_var"]], &[]),
        "Adafactor" => (&[&["r", "c", "velocity"]], &[]),
        "Ftrl" => (&[&["accumulator", "linear"]], &[]),
        _ => return None,
    };
    Some(Rounds { always, optional })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Value;

    fn tensors(shapes: &[&[usize]]) -> Vec<Tensor> {
        let tensor =
            |(number, shape): (usize, &&[usize])| Tensor::from_f32(shape, &vec![number as f32; shape.iter().product()]);
        shapes.iter().enumerate().map(|(number, shape)| tensor((number, shape)).unwrap()).collect()
    }

    fn first(slots: &Slots, name: &str) -> Vec<f64> {
        slots.of(name).unwrap().iter().map(|tensor| tensor.to_f64().unwrap()[0]).collect()
    }

    #[test]
    fn averages_come_first_and_moments_alternate() {
        let mut maker = Maker::default();
        let (yes, no) = (maker.bool(true), maker.bool(false));
        let null = maker.add(Value::Null);
        let config =
            maker.dict(&[("use_ema", yes), ("amsgrad", yes), ("gradient_accumulation_steps", null), ("x", no)]);
        let (a, b): (&[usize], &[usize]) = (&[2, 3], &[3]);
        let tensors = tensors(&[a, b, a, a, b, b, a, b]);
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        let slots = slots("AdamW", Some(maker.tree.at(config)), &tensors, 2).unwrap().unwrap();
        assert_eq!(first(&slots, "average"), [0., 1.]);
        assert_eq!((first(&slots, "momentum"), first(&slots, "velocity")), (vec![2., 4.], vec![3., 5.]));
        assert_eq!(first(&slots, "velocity_hat"), [6., 7.]);
        assert_eq!(slots.states(1).len(), 3);
    }

    #[test]
    fn factored_moments_and_a_number_for_all_are_read() {
        let factored = tensors(&[&[2], &[3], &[2, 3], &[], &[], &[3]]);
        let read = slots("Adafactor", None, &factored.iter().collect::<Vec<_>>(), 2).unwrap().unwrap();
        assert_eq!((read.shapes.clone(), first(&read, "c")), (vec![vec![2, 3], vec![3]], vec![1., 4.]));
        let nadam = tensors(&[&[3], &[3], &[]]);
        let read = slots("Nadam", None, &nadam.iter().collect::<Vec<_>>(), 1).unwrap().unwrap();
        assert_eq!(read.numbers(), [("u_product".to_owned(), 2.0)]);
    }

    #[test]
    fn without_settings_a_third_array_is_a_moment_by_its_shape_or_cannot_be_told() {
        let (a, b): (&[usize], &[usize]) = (&[2, 3], &[3]);
        let (amsgrad, averaged) = (tensors(&[a, a, b, b, a, b]), tensors(&[a, b, a, a, b, b]));
        let read = |tensors: &[Tensor]| slots("Adam", None, &tensors.iter().collect::<Vec<_>>(), 2);
        assert!(read(&amsgrad).unwrap().unwrap().of("velocity_hat").is_some());
        let untold = read(&averaged).unwrap().unwrap();
        assert!(untold.of(UNTOLD).is_some() && untold.states(0).len() == 2);
        assert!(read(&averaged[1..]).err().unwrap().contains("5 variables follow the rate"));
        assert!(slots("Mine", None, &amsgrad.iter().collect::<Vec<_>>(), 2).unwrap().is_none());
    }
}
