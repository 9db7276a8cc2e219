//! The updates of all tensors in one launch, and the norm of all gradients: the bits of the CPU.

use candle_core::{DType, Device, Tensor, Var};
use rekindle::optim::{Adam, AdamW, Decay, Gradients, Optimizer, OptimizerConfig, Sgd};
use rekindle::parameters::Parameters;

use super::arguments::Argument::{self, Count, In, InTable, Out, Real, Word};
use super::arguments::Type;
use super::emulator::launch;
use super::expected::{assert_near, numbers};

/// Elements of each tensor: less than a chunk, exactly one, and more than two. The second is of one dimension, and its
/// weights do not decay.
const LENGTHS: [usize; 3] = [5, 4096, 8500];
const DECAYS: [f64; 3] = [1.0, 0.0, 1.0];
const CHUNK: usize = 4096;
const UPDATES: u64 = 3;
const MAX_NORM: f64 = 2.0;
const LR: f64 = 0.1;

fn shape(tensor: usize) -> Vec<usize> {
    if DECAYS[tensor] == 1.0 { vec![LENGTHS[tensor], 1] } else { vec![LENGTHS[tensor]] }
}

fn tensors(of: Type, seed: u64) -> Vec<Vec<f64>> {
    (0..3).map(|tensor| numbers(of, LENGTHS[tensor], seed * 10 + tensor as u64)).collect()
}

/// How the tensors are cut into chunks: their lengths, the chunks before each, and how many there are of both.
fn chunks() -> [Argument; 4] {
    let chunks = LENGTHS.map(|length| length.div_ceil(CHUNK));
    let before = (0..LENGTHS.len()).map(|tensor| chunks[..tensor].iter().sum::<usize>() as f64).collect();
    let lengths = LENGTHS.iter().map(|&length| length as f64).collect();
    [In(Type::U64, lengths), In(Type::U64, before), Count(LENGTHS.len()), Count(chunks.iter().sum())]
}

/// The tensors whose elements are one result.
fn apart(result: &[f64]) -> Vec<Vec<f64>> {
    let mut rest = result;
    LENGTHS.iter().map(|&length| rest.split_off(..length).unwrap().to_vec()).collect()
}

/// The sum of squares of each gradient.
fn squares(of: Type, gradients: &[Vec<f64>]) -> Vec<f64> {
    let [.., Count(parts)] = chunks() else { unreachable!() };
    let arguments = [&[InTable(of, gradients.to_vec())], &chunks()[..], &[Out(Type::F64, parts)]].concat();
    let parts = launch(format!("squares_of_chunks_{of}"), 3, &arguments).remove(0);
    let arguments = [&[In(Type::F64, parts)], &chunks()[..], &[Out(Type::F64, LENGTHS.len())]].concat();
    launch("squares_of_tensors", 2, &arguments).remove(0)
}

/// An optimizer on the CPU, and its parameters.
struct OnCpu {
    optimizer: Optimizer,
    parameters: Parameters,
}

impl OnCpu {
    fn new(config: impl Into<OptimizerConfig>, of: Type) -> Self {
        let weights = tensors(of, 1).into_iter().enumerate();
        let parameters: Parameters = weights
            .map(|(i, values)| {
                let tensor = Tensor::from_vec(values, shape(i), &Device::Cpu).unwrap().to_dtype(dtype(of)).unwrap();
                (i.to_string(), Var::from_tensor(&tensor).unwrap())
            })
            .collect();
        Self { optimizer: Optimizer::new(&parameters, config).unwrap(), parameters }
    }

    /// The weights after an update with `gradients`, which are clipped, and the factor of that.
    fn update(&mut self, gradients: &[Vec<f64>]) -> (Vec<Vec<f64>>, f64) {
        let products = self.parameters.iter().zip(gradients).map(|((_, weight), gradient)| {
            let gradient = Tensor::from_slice(gradient, weight.shape(), &Device::Cpu).unwrap();
            (weight.as_tensor() * gradient.to_dtype(weight.dtype()).unwrap()).unwrap().sum_all().unwrap()
        });
        let loss = products.reduce(|sum, product| (sum + product).unwrap()).unwrap();
        let gradients = Gradients::from_loss(&loss, &self.parameters).unwrap().clip(MAX_NORM).unwrap();
        let scale = MAX_NORM / (gradients.norm() + 1e-6);
        self.optimizer.update(&gradients, &[LR]).unwrap();
        let weights = self.parameters.iter().map(|(_, weight)| weight.flatten_all().unwrap());
        (weights.map(|weight| weight.to_dtype(DType::F64).unwrap().to_vec1().unwrap()).collect(), scale)
    }
}

fn dtype(of: Type) -> DType {
    match of {
        Type::F64 => DType::F64,
        Type::Bf16 => DType::BF16,
        Type::F16 => DType::F16,
        _ => DType::F32,
    }
}

/// Makes some updates on the CPU and by `kernel`, with this number of moments and further hyperparameters for each
/// update. For f32 and f64 the weights are the same bits; for half precision the CPU computes in another order.
fn check(config: impl Into<OptimizerConfig>, kernel: &str, moments: usize, more: impl Fn(u64) -> Vec<Argument>) {
    let mut config = config.into();
    config.decay = Decay::Matrices;
    for &of in Type::of_tensors() {
        let mut on_cpu = OnCpu::new(config.clone(), of);
        let mut weights = tensors(of, 1);
        let mut remembered = vec![LENGTHS.map(|length| vec![0.0; length]).to_vec(); moments];
        for update in 0..UPDATES {
            let gradients = tensors(of, 2 + update);
            let (expected, scale) = on_cpu.update(&gradients);
            let mut arguments = vec![Argument::InOutTable(of, weights)];
            arguments.extend(remembered.into_iter().map(|moment| Argument::InOutTable(of.wide(), moment)));
            arguments.extend([InTable(of, gradients.clone()), In(Type::U64, DECAYS.to_vec())]);
            arguments.extend(chunks());
            arguments.push(Real(scale));
            arguments.extend(more(update));
            let found = launch(format!("{kernel}_{of}"), 3, &arguments);
            weights = apart(&found[0]);
            remembered = found[1..].iter().map(|moment| apart(moment)).collect();
            for (found, expected) in weights.iter().zip(&expected) {
                if of == of.wide() {
                    assert!(found == expected, "{kernel} {of}: other bits than on the CPU at update {update}");
                } else {
                    // Both round each weight; they may fall on either side of the middle between two numbers.
                    assert_near(of, of.epsilon() / of.wide().epsilon(), found, expected);
                }
            }
        }
    }
}

#[test]
fn sgd_has_the_bits_of_the_cpu() {
    let plain = Sgd { lr: LR, weight_decay: 0.25, ..Sgd::default() };
    check(plain.clone(), "sgd", 0, |_| vec![Real(LR), Real(0.25)]);
    let damped = Sgd { momentum: 0.9, dampening: 0.5, ..plain.clone() };
    let damping = |update: u64| if update == 0 { 1.0 } else { 0.5 };
    let hyperparameters = |take: f64, nesterov: u32| vec![Real(LR), Real(0.25), Real(0.9), Real(take), Word(nesterov)];
    check(damped, "sgd_momentum", 1, |update| hyperparameters(damping(update), 0));
    let ahead = Sgd { momentum: 0.9, nesterov: true, ..plain };
    check(ahead, "sgd_momentum", 1, |_| hyperparameters(1.0, 1));
}

/// The hyperparameters of update number `update`, with betas 0.9 and 0.95.
fn of_adam(update: u64, shrink: f64, decay: f64) -> Vec<Argument> {
    let corrections = [0.9f64, 0.95].map(|beta| 1.0 - beta.powf((update + 1) as f64));
    [LR / corrections[0], corrections[1].sqrt(), 0.9, 0.95, 1e-6, shrink, decay].map(Real).to_vec()
}

#[test]
fn adam_and_adamw_have_the_bits_of_the_cpu() {
    let adam = Adam { lr: LR, betas: [0.9, 0.95], eps: 1e-6, weight_decay: 0.25, ..Adam::default() };
    check(adam, "adam", 2, |update| of_adam(update, 1.0, 0.25));
    let adamw = AdamW { lr: LR, betas: [0.9, 0.95], eps: 1e-6, weight_decay: 0.25, ..AdamW::default() };
    check(adamw, "adam", 2, |update| of_adam(update, 1.0 - LR * 0.25, 0.0));
}

#[test]
fn the_squares_of_each_gradient_are_added_up_in_f64() {
    for &of in Type::of_tensors() {
        let mut gradients = tensors(of, 5);
        let expected: Vec<f64> = gradients.iter().map(|gradient| gradient.iter().map(|g| g * g).sum()).collect();
        // A sum of thousands, here one after the other.
        assert_near(Type::F64, 64.0, &squares(of, &gradients), &expected);
        gradients[1][4000] = f64::INFINITY;
        gradients[2][8000] = f64::NAN;
        let found = squares(of, &gradients);
        assert!(found[0].is_finite() && found[1] == f64::INFINITY && found[2].is_nan(), "{found:?}");
    }
}
