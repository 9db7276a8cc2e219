//! paddle 3.3.1, fastai 2.8.12, scikit-learn 1.9.1, MXNet 1.9.1 and MONAI 1.6.1.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{floor, share, steps, unless, warmup};

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "paddle.optimizer.lr.NoamDecay(d_model, warmup_steps, learning_rate=1.0, last_epoch=-1, verbose=False)",
        say: |given| {
            let (width, steps) = (given.count("d_model")?, given.count("warmup_steps")?);
            // Its steps count from 0, so the first update has no rate.
            paddle(given, format!("chained([constant(0, total=1), noam({width}, {steps})])"))
        },
    },
    Class {
        signature: "paddle.optimizer.lr.PiecewiseDecay(boundaries, values, last_epoch=-1, verbose=False)",
        say: |given| {
            let starts: Vec<u64> = std::iter::once(0).chain(given.counts("boundaries")?).collect();
            steps(given, &given.numbers("values")?, |index| starts.get(index as usize).copied().unwrap_or_default())
        },
    },
    Class {
        signature: "paddle.optimizer.lr.NaturalExpDecay(learning_rate, gamma, last_epoch=-1, verbose=False)",
        say: |given| paddle(given, format!("exponential({})", n((-given.number("gamma")?).exp()))),
    },
    Class {
        signature: "paddle.optimizer.lr.InverseTimeDecay(learning_rate, gamma, last_epoch=-1, verbose=False)",
        say: |given| paddle(given, format!("inverse_time(1, {})", n(given.number("gamma")?))),
    },
    Class {
        signature: "paddle.optimizer.lr.ExponentialDecay(learning_rate, gamma, last_epoch=-1, verbose=False)",
        say: |given| paddle(given, format!("exponential({})", n(given.number("gamma")?))),
    },
    Class {
        signature: "paddle.optimizer.lr.StepDecay(learning_rate, step_size, gamma=0.1, last_epoch=-1, verbose=False)",
        say: |given| paddle(given, format!("step({}, gamma={})", given.count("step_size")?, n(given.number("gamma")?))),
    },
    Class {
        signature: "paddle.optimizer.lr.MultiStepDecay(learning_rate, milestones, gamma=0.1, last_epoch=-1, verbose=False)",
        say: |given| {
            paddle(given, format!("multi_step({:?}, gamma={})", given.counts("milestones")?, n(given.number("gamma")?)))
        },
    },
    Class {
        signature: "paddle.optimizer.lr.PolynomialDecay(learning_rate, decay_steps, end_lr=0.0001, power=1.0, cycle=False, last_epoch=-1, verbose=False)",
        say: |given| {
            let (power, end) = (unless("power", given.number("power")?, 1.0), n(given.number("end_lr")?));
            let cycle = if given.flag("cycle")? { ", after=\"cycle\"" } else { "" };
            paddle(given, format!("polynomial({}{power}, eta_min={end}{cycle})", given.count("decay_steps")?))
        },
    },
    Class {
        signature: "paddle.optimizer.lr.CosineAnnealingDecay(learning_rate, T_max, eta_min=0, last_epoch=-1, verbose=False)",
        say: |given| {
            let low = floor(given.number("eta_min")?);
            paddle(given, format!("cosine({}{low}, after=\"cycle\")", given.count("T_max")?))
        },
    },
    Class {
        signature: "paddle.optimizer.lr.LinearWarmup(learning_rate, warmup_steps, start_lr, end_lr, last_epoch=-1, verbose=False)",
        say: |given| {
            let (steps, start, end) =
                (given.count("warmup_steps")?, given.number("start_lr")?, given.number("end_lr")?);
            let inner =
                given.inner("learning_rate").or_else(|_| Said::of(given.number("learning_rate")?, "constant"))?;
            if inner.base_lrs != [end] {
                return Err(given.wrong(
                    "`end_lr` is not the first rate of `learning_rate`, so there is a jump; write sequential(…)",
                ));
            }
            Ok(Said { text: warmup(steps, start, &inner.text), ..inner })
        },
    },
    Class {
        signature: "paddle.optimizer.lr.OneCycleLR(max_learning_rate, total_steps, divide_factor=25.0, end_learning_rate=0.0001, phase_pct=0.3, anneal_strategy='cos', three_phase=False, last_epoch=-1, verbose=False)",
        say: |given| {
            let (peak, div) = (given.number("max_learning_rate")?, given.number("divide_factor")?);
            let last = share(given, "the start", peak / div, given.number("end_learning_rate")?)?;
            let three = if given.flag("three_phase")? { ", three_phase=true" } else { "" };
            let text = format!(
                "one_cycle({}, pct_start={}, anneal=\"{}\", div_factor={}, final_div_factor={}{three})",
                given.count("total_steps")?,
                n(given.number("phase_pct")?),
                given.word("anneal_strategy", &["cos", "linear"])?,
                n(div),
                n(last),
            );
            Said::of(peak, text)
        },
    },
    Class {
        signature: "paddle.optimizer.lr.CyclicLR(base_learning_rate, max_learning_rate, step_size_up, step_size_down=None, mode='triangular', exp_gamma=1.0, scale_fn=None, scale_mode='cycle', last_epoch=-1, verbose=False)",
        say: |given| {
            let up = given.count("step_size_up")?;
            let text = format!(
                "cyclic({}, step_size_up={up}, step_size_down={}, mode=\"{}\", gamma={})",
                n(given.number("max_learning_rate")?),
                given.count_or("step_size_down", up)?,
                given.word("mode", &["triangular", "triangular2", "exp_range"])?,
                n(given.number("exp_gamma")?),
            );
            Said::of(given.number("base_learning_rate")?, text)
        },
    },
    Class {
        signature: "paddle.optimizer.lr.ReduceOnPlateau(learning_rate, mode='min', factor=0.1, patience=10, threshold=1e-4, threshold_mode='rel', cooldown=0, min_lr=0, epsilon=1e-8, verbose=False)",
        say: |given| {
            let said = super::pieces::plateau_with(given, "epsilon")?;
            Ok(Said { base_lrs: vec![given.number("learning_rate")?], ..said })
        },
    },
    Class {
        signature: "paddle.optimizer.lr.LinearLR(learning_rate, total_steps, start_factor=1/3, end_factor=1.0, last_epoch=-1, verbose=False)",
        say: |given| {
            let (start, end) = (given.number("start_factor")?, given.number("end_factor")?);
            paddle(given, format!("linear({}, {}, {})", n(start), n(end), given.count("total_steps")?))
        },
    },
    Class {
        signature: "paddle.optimizer.lr.CosineAnnealingWarmRestarts(learning_rate, T_0, T_mult=1, eta_min=0, last_epoch=-1, verbose=False)",
        say: |given| {
            let (first, growth) = (given.count("T_0")?, given.count("T_mult")?);
            let floor = super::pieces::floor(given.number("eta_min")?);
            paddle(given, format!("cosine_restarts({first}, t_mult={growth}{floor})"))
        },
    },
    Class {
        signature: "fastai.fit_flat_cos(n_epoch, lr=None, div_final=1e5, pct_start=0.75, wd=None, cbs=None, reset_opt=False, start_epoch=0)",
        say: |given| {
            let (start, low) = (given.number("pct_start")? * 100.0, 1.0 / given.number("div_final")?);
            let text = format!(
                "sequential([\"{}%\"], [constant, cosine(\"{}%\", min_ratio={})])",
                n(start),
                n(100.0 - start),
                n(low)
            );
            fastai(given, "lr", text)
        },
    },
    Class {
        signature: "fastai.fit_one_cycle(n_epoch, lr_max=None, div=25.0, div_final=1e5, pct_start=0.25, wd=None, moms=None, cbs=None, reset_opt=False, start_epoch=0)",
        say: |given| {
            let (div, last) = (given.number("div")?, given.number("div_final")?);
            let text = format!(
                "piecewise([[0, {}], [\"{}%\", 1], [\"100%\", {}]], interpolate=\"cosine\")",
                n(1.0 / div),
                n(given.number("pct_start")? * 100.0),
                n(1.0 / last)
            );
            Ok(fastai(given, "lr_max", text)?
                .note("its momentum goes from 0.95 to 0.85 and back; momentum_schedule can do that"))
        },
    },
    Class {
        signature: "sklearn.neural_network.MLPRegressor(hidden_layer_sizes=None, learning_rate='constant', learning_rate_init=0.001, power_t=0.5, batch_size=None, rows=None, tol=1e-4, n_iter_no_change=10)",
        say: sklearn,
    },
    Class {
        signature: "sklearn.neural_network.MLPClassifier(hidden_layer_sizes=None, learning_rate='constant', learning_rate_init=0.001, power_t=0.5, batch_size=None, rows=None, tol=1e-4, n_iter_no_change=10)",
        say: sklearn,
    },
    Class {
        signature: "mxnet.lr_scheduler.FactorScheduler(step, factor=1, stop_factor_lr=1e-8, base_lr=0.01, warmup_steps=0, warmup_begin_lr=0, warmup_mode='linear')",
        say: |given| {
            let text = format!(
                "step({}, gamma={}, eta_min={})",
                given.count("step")?,
                n(given.number("factor")?),
                n(given.number("stop_factor_lr")?)
            );
            mxnet(given, text)
        },
    },
    Class {
        signature: "mxnet.lr_scheduler.MultiFactorScheduler(step, factor=1, base_lr=0.01, warmup_steps=0, warmup_begin_lr=0, warmup_mode='linear')",
        say: |given| {
            mxnet(given, format!("multi_step({:?}, gamma={})", given.counts("step")?, n(given.number("factor")?)))
        },
    },
    Class {
        signature: "mxnet.lr_scheduler.PolyScheduler(max_update, base_lr=0.01, pwr=2, final_lr=0, warmup_steps=0, warmup_begin_lr=0, warmup_mode='linear')",
        say: |given| {
            let rest = given.rest("max_update", given.count("warmup_steps")?)?;
            let decay =
                format!("polynomial({rest}, power={}{})", n(given.number("pwr")?), floor(given.number("final_lr")?));
            mxnet_counted(given, &decay)
        },
    },
    Class {
        signature: "mxnet.lr_scheduler.CosineScheduler(max_update, base_lr=0.01, final_lr=0, warmup_steps=0, warmup_begin_lr=0, warmup_mode='linear')",
        say: |given| {
            let rest = given.rest("max_update", given.count("warmup_steps")?)?;
            mxnet_counted(given, &format!("cosine({rest}{})", floor(given.number("final_lr")?)))
        },
    },
    Class {
        signature: "monai.optimizers.LinearLR(optimizer, end_lr, num_iter, last_epoch=-1)",
        say: |given| {
            let (end, steps) = (n(given.number("end_lr")?), given.count("num_iter")?.max(2));
            Said::text(format!("polynomial({}, eta_min={end})", steps - 1))
        },
    },
];

fn paddle(given: &Given, text: String) -> Result<Said, LikeError> {
    Said::of(given.number("learning_rate")?, text)
}

fn fastai(given: &Given, lr: &str, text: String) -> Result<Said, LikeError> {
    let base_lrs = if given.is_none(lr) { Vec::new() } else { vec![given.number(lr)?] };
    Ok(Said { text, base_lrs, notes: vec!["its lengths are shares of the run".to_owned()] })
}

fn sklearn(given: &Given) -> Result<Said, LikeError> {
    let base = given.number("learning_rate_init")?;
    match given.word("learning_rate", &["constant", "invscaling", "adaptive"])? {
        "constant" => Said::of(base, "constant"),
        "adaptive" => {
            let (patience, tol) = (given.count("n_iter_no_change")?, n(given.number("tol")?));
            let said = Said::of(base, format!("adaptive(patience={patience}, tol={tol})"))?;
            Ok(said.note("it follows the training loss, train.metric = \"training_loss\", and does not end the run"))
        }
        _ => {
            if given.is_none("rows") || given.is_none("batch_size") {
                return Err(
                    given.wrong("\"invscaling\" needs `batch_size`, and `rows`, the number of rows of the data")
                );
            }
            let (rows, batch) = (given.count("rows")?, given.count("batch_size")?.max(1));
            let (epoch, power) = (rows.div_ceil(batch).max(1), n(given.number("power_t")?));
            let said = Said::of(base, format!("inverse_time({epoch}, {rows}, staircase=true, power={power})"))?;
            Ok(said.note("the rate moves once an epoch, by the number of rows that were seen"))
        }
    }
}

const COUNTED: &str = "MXNet's optimizers count an update before they ask, so update t has the rate of t + 1";

/// A schedule of MXNet that switches after its step, which makes up for the count.
fn mxnet(given: &Given, text: String) -> Result<Said, LikeError> {
    if given.count("warmup_steps")? != 0 {
        return Err(given.wrong("`warmup_steps` is not read for it"));
    }
    Said::of(given.number("base_lr")?, text)
}

fn mxnet_counted(given: &Given, decay: &str) -> Result<Said, LikeError> {
    given.word("warmup_mode", &["linear"])?;
    let text = warmup(given.count("warmup_steps")?, given.number("warmup_begin_lr")?, decay);
    Ok(Said::of(given.number("base_lr")?, format!("early(1, {text})"))?.note(COUNTED))
}
