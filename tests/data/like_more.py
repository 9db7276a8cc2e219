"""Writes like_more.json: rates that packages compute from constructors, which Python evaluates as they stand.

`python like_more.py PACKAGE …` replaces the cases of these packages. torch, transformers, timm and sklearn are those that
Python finds; of the others only the file of the schedulers is used, unpacked from the package index into a folder
PACKAGE of the folder SOURCES. What these files import beside it and the standard library may be absent.
"""

import importlib.abc
import importlib.machinery
import json
import os
import pathlib
import sys
import types

import torch.optim  # Before modules may be absent.

FILE = pathlib.Path(__file__).with_suffix(".json")
TWO = [0.2, 0.004]


def optimizer_of(bases):

    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": base} for base in bases]
    return torch.optim.SGD(groups, lr=bases[0], momentum=0.9)


def stepped(names, text, steps, bases=TWO, step=lambda scheduler, t: scheduler.step()):
    """The rates of each update, with a scheduler that is stepped after each."""
    import warnings

    warnings.simplefilter("ignore")
    optimizer = optimizer_of(bases)
    scheduler = eval(text, {**names, "optimizer": optimizer})
    rates = []
    for t in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        step(scheduler, t)
    return {"constructor": text, "base_lrs": bases, "lrs": [[float(rate) for rate in each] for each in rates]}


def torch_cases():
    import torch.optim
    from torch.optim import lr_scheduler, swa_utils

    names = {**vars(lr_scheduler), **vars(swa_utils), "torch": torch}
    texts = {
        "StepLR(optimizer, 7)": 20,
        "StepLR(optimizer, 3, 0.5)": 12,
        "torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=1.0)": 4,
        "MultiStepLR(optimizer, [8, 3, 3], 0.2)": 12,
        "MultiStepLR(optimizer, milestones=[])": 4,
        "MultiStepLR(optimizer, [0, 5])": 8,
        "ConstantLR(optimizer, 0.5, 3)": 6,
        "ConstantLR(optimizer, 0.5, 0)": 4,
        "ConstantLR(optimizer)": 8,
        "LinearLR(optimizer, 0.25, 1.0, 4)": 8,
        "LinearLR(optimizer, total_iters=1)": 4,
        "LinearLR(optimizer, 1.0, 0.5, 10)": 14,
        "ExponentialLR(optimizer, 1.0)": 4,
        "ExponentialLR(optimizer, .5)": 8,
        "PolynomialLR(optimizer, 8, 3.0)": 12,
        "PolynomialLR(optimizer)": 8,
        "CosineAnnealingLR(optimizer, 10, 0.002)": 11,
        "CosineAnnealingLR(optimizer, T_max=1)": 2,
        "CosineAnnealingWarmRestarts(optimizer, 1)": 4,
        "CosineAnnealingWarmRestarts(optimizer, 4, 3, 0.002)": 30,
        "CyclicLR(optimizer, [0.2, 0.004], [0.5, 0.1], 4)": 20,
        "CyclicLR(optimizer, [0.2, 0.004], [0.5, 0.1], 3, 6, 'triangular2')": 30,
        "CyclicLR(optimizer, [0.2, 0.004], [0.5, 0.1], step_size_up=5, mode='exp_range', gamma=0.9, cycle_momentum=False)": 20,
        "OneCycleLR(optimizer, [0.2, 0.004], 20)": 20,
        "OneCycleLR(optimizer, [0.2, 0.004], None, 4, 5)": 20,
        "OneCycleLR(optimizer, max_lr=[0.2, 0.004], total_steps=20, pct_start=0.4, anneal_strategy='linear', three_phase=True)": 20,
        "OneCycleLR(optimizer, [0.2, 0.004], total_steps=20, pct_start=0.1, div_factor=10, final_div_factor=1)": 20,
        "SequentialLR(optimizer, [ConstantLR(optimizer, 0.1, 3), CosineAnnealingLR(optimizer, 10)], [3])": 13,
        "SWALR(optimizer, 0.05, 5)": 8,
        "SWALR(optimizer, swa_lr=[0.05, 0.001], anneal_epochs=6, anneal_strategy='linear')": 10,
    }
    return [stepped(names, text, steps) for text, steps in texts.items()]


def transformers_cases():
    from transformers import optimization

    names = vars(optimization)
    both = {
        "get_constant_schedule(optimizer)": 3,
        "get_constant_schedule_with_warmup(optimizer, 1)": 4,
        "get_constant_schedule_with_warmup(optimizer, num_warmup_steps=0)": 4,
        "get_linear_schedule_with_warmup(optimizer, 0, 10)": 14,
        "get_linear_schedule_with_warmup(optimizer, 9, 10)": 14,
        "get_cosine_schedule_with_warmup(optimizer, 3, 12)": 16,
        "get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, 2, 14, 3)": 18,
        "get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, 0, 10, num_cycles=3)": 14,
        "get_inverse_sqrt_schedule(optimizer, 4)": 20,
        "get_inverse_sqrt_schedule(optimizer, 0)": 8,
        "get_inverse_sqrt_schedule(optimizer, 4, timescale=20)": 12,
        "get_wsd_schedule(optimizer, 3, 4, num_stable_steps=5)": 16,
        "get_wsd_schedule(optimizer, 0, 5, 12, decay_type='1-sqrt', min_lr_ratio=0.2)": 16,
        "get_wsd_schedule(optimizer, 4, 5, 12, warmup_type='cosine', decay_type='linear', min_lr_ratio=0.1)": 16,
        "get_cosine_with_min_lr_schedule_with_warmup(optimizer, 3, 12, min_lr_rate=0.25)": 14,
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate(optimizer, 4, 14, min_lr_rate=0.1)": 16,
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate(optimizer, 4, 14, min_lr_rate=0.1, warmup_lr_rate=0.2)": 16,
        "get_scheduler('linear', optimizer, 2, 10)": 12,
        "get_scheduler(name='cosine', optimizer=optimizer, num_warmup_steps=2, num_training_steps=10)": 12,
        "get_scheduler('constant', optimizer)": 3,
        "get_scheduler('inverse_sqrt', optimizer, num_warmup_steps=5)": 12,
        "get_scheduler('cosine_with_restarts', optimizer, 2, 12, scheduler_specific_kwargs={'num_cycles': 2})": 14,
        "get_scheduler('warmup_stable_decay', optimizer, 2, 12, scheduler_specific_kwargs={'num_decay_steps': 4})": 14,
        "get_scheduler('cosine_with_min_lr', optimizer, 2, 12, scheduler_specific_kwargs={'min_lr_rate': 0.1})": 14,
        "get_scheduler('cosine_warmup_with_min_lr', optimizer, 2, 12, scheduler_specific_kwargs=dict(min_lr_rate=0.1))": 14,
    }
    one = {
        "get_polynomial_decay_schedule_with_warmup(optimizer, 2, 10, 0.01, 2.0)": 14,
        "get_polynomial_decay_schedule_with_warmup(optimizer, 0, 10)": 14,
        "get_cosine_with_min_lr_schedule_with_warmup(optimizer, 3, 12, 0.5, min_lr=0.01)": 14,
        "get_scheduler('polynomial', optimizer, 2, 10, scheduler_specific_kwargs={'lr_end': 0.05, 'power': 2})": 12,
    }
    cases = [stepped(names, text, steps) for text, steps in both.items()]
    return cases + [stepped(names, text, steps, [0.2]) for text, steps in one.items()]


def timm_cases():
    from timm import scheduler

    texts = {
        "CosineLRScheduler(optimizer, 12)": 16,
        "CosineLRScheduler(optimizer, 10, 0.001, warmup_t=3, warmup_lr_init=0.001)": 16,
        "CosineLRScheduler(optimizer, t_initial=10, warmup_t=3, warmup_lr_init=0.001, warmup_prefix=True)": 16,
        "CosineLRScheduler(optimizer, 5, 0.001, 2.0, 0.5, 3)": 40,
        "CosineLRScheduler(optimizer, 5, cycle_limit=2)": 14,
        "TanhLRScheduler(optimizer, 10, -6, 4, 0.001)": 14,
        "TanhLRScheduler(optimizer, 10, warmup_t=2, warmup_prefix=True)": 14,
        "PolyLRScheduler(optimizer, 10)": 14,
        "PolyLRScheduler(optimizer, 10, 2.0, 0.001, warmup_t=2, warmup_lr_init=0.0001, warmup_prefix=True)": 14,
        "StepLRScheduler(optimizer, 4, 0.5)": 14,
        "StepLRScheduler(optimizer, 4, 0.5, 3, 0.001)": 14,
        "StepLRScheduler(optimizer, 4, 0.5, 3, 0.001, False)": 14,
        "MultiStepLRScheduler(optimizer, [4, 8], 0.5)": 14,
        "MultiStepLRScheduler(optimizer, [1], 0.5)": 4,
        "WSDLRScheduler(optimizer, 20, 5)": 24,
        "WSDLRScheduler(optimizer, 20, 5, 0.001, decay_fn='power', decay_power=2.0, warmup_t=2)": 24,
        "WSDLRScheduler(optimizer, 20, 5, decay_fn='linear', decay_ratio=0.2)": 24,
        "WSDLRScheduler(optimizer, 20, 5, 0.0, 'rsqrt', 4)": 24,
    }
    step = lambda scheduler, t: scheduler.step(t + 1)
    return [stepped(vars(scheduler), text, steps, step=step) for text, steps in texts.items()]


class Anything:
    """Stands for whatever an absent module has: a decorator, a base class, a logger."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __call__(self, *arguments, **named):
        is_decorator = len(arguments) == 1 and not named and callable(arguments[0])
        return arguments[0] if is_decorator else Anything()

    def __mro_entries__(self, bases):
        return ()

    def __getitem__(self, place):
        return self

    def __or__(self, other):
        return self

    __ror__ = __or__


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules that are not there."""

    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: Anything().__getattr__(name)
        return module

    def exec_module(self, module):
        pass


def alone(package, file):
    """The names in a file of a package."""
    path = pathlib.Path(os.environ["SOURCES"], package, file)
    finder = Absent()
    sys.meta_path.append(finder)
    try:
        module = types.ModuleType(path.stem)
        module.__package__ = f"absent.{package}.a.b.c"
        sys.modules[path.stem] = module
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        return module.__dict__
    finally:
        sys.meta_path.remove(finder)


def called(names, text, base, steps, rate=lambda schedule, t: schedule(t)):
    """The rates of a function of the step."""
    schedule = eval(text, dict(names))
    lrs = [[float(rate(schedule, t))] for t in range(steps)]
    return {"constructor": text, "base_lrs": [base], "lrs": lrs}


def deepspeed_cases():
    names = alone("deepspeed", "deepspeed/runtime/lr_schedules.py")
    texts = {
        "WarmupLR(optimizer, 0.01, 0.1, 8)": 12,
        "WarmupLR(optimizer, warmup_max_lr=0.1, warmup_num_steps=4, warmup_type='linear')": 8,
        "WarmupDecayLR(optimizer, 20, 0.01, 0.1, 5, 'linear')": 24,
        "WarmupDecayLR(optimizer, total_num_steps=12, warmup_max_lr=0.1, warmup_num_steps=3)": 14,
        "WarmupCosineLR(optimizer, 20, 0.1, 5, 0.01)": 24,
        "WarmupCosineLR(optimizer, 20, warmup_num_steps=4, warmup_type='linear')": 24,
        "OneCycle(optimizer, 0.01, 0.1, cycle_first_step_size=4)": 14,
        "OneCycle(optimizer, 0.01, 0.1, 0.0, 4, 6)": 14,
        "OneCycle(optimizer, 0.01, 0.1, 0.25, 4, 6, decay_step_size=3)": 20,
        "LRRangeTest(optimizer, 0.01, 4, 2.0)": 12,
        "LRRangeTest(optimizer, 0.01, 4, 2.0, True)": 12,
    }
    return [stepped(names, text, steps, [0.1]) for text, steps in texts.items()]


def speechbrain_cases():
    names = alone("speechbrain", "speechbrain/nnet/schedulers.py")
    metrics = [10.0, 9.0, 8.999, 8.99, 8.0, 8.2, 8.199, 8.199, 4.0, 3.995, 3.99, 0.0, 0.0, 1.0, 0.5]
    cases = []
    for text in (
        "NewBobScheduler(0.1)",
        "NewBobScheduler(initial_value=0.1, annealing_factor=0.8, improvement_threshold=0.01)",
        "NewBobScheduler(0.1, 0.5, 0.0025, 1)",
        "NewBobScheduler(0.1, patient=2, improvement_threshold=0.0)",
    ):
        schedule = eval(text, dict(names))
        lrs, rate = [], 0.1
        for metric in metrics:
            lrs.append([rate])
            _, rate = schedule(metric)
        lrs.append([rate])
        cases.append({"constructor": text, "base_lrs": [0.1], "metrics": metrics, "lrs": lrs})
    return cases


def sklearn_cases():
    from sklearn.neural_network import MLPRegressor, _stochastic_optimizers

    metrics = [1.0, 0.9, 0.8999, 0.85, 0.86, 0.86, 0.86, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.5, 0.5, 0.5, 0.5]
    cases = []
    for text in (
        "MLPRegressor(learning_rate='adaptive', learning_rate_init=0.1, n_iter_no_change=2)",
        "MLPRegressor(learning_rate='adaptive', learning_rate_init=0.1, n_iter_no_change=1, tol=0.1)",
        "MLPRegressor(learning_rate='adaptive', learning_rate_init=2e-5, n_iter_no_change=1, tol=0.01)",
    ):
        model = eval(text)
        model.loss_curve_, model.best_loss_, model._no_improvement_count = [], float("inf"), 0
        optimizer = _stochastic_optimizers.SGDOptimizer([], model.learning_rate_init, lr_schedule="adaptive")
        lrs = []
        for metric in metrics:
            lrs.append([optimizer.learning_rate])
            # The end of an epoch in `_fit_stochastic`.
            model.loss_curve_.append(metric)
            model._update_no_improvement_count(False, None, None, None)
            if model._no_improvement_count > model.n_iter_no_change:
                optimizer.trigger_stopping("", False)
                model._no_improvement_count = 0
        lrs.append([optimizer.learning_rate])
        cases.append({"constructor": text, "base_lrs": [model.learning_rate_init], "metrics": metrics, "lrs": lrs})
    return cases


def fvcore_cases():
    names = alone("fvcore", "fvcore/common/param_scheduler.py")
    texts = {
        "LinearParamScheduler(0.1, 0.01)": 0.1,
        "LinearParamScheduler(start_value=0.01, end_value=0.1)": 0.1,
        "CosineParamScheduler(0.1, 0.001)": 0.1,
        "PolynomialDecayParamScheduler(0.1, 2)": 0.1,
        "ExponentialParamScheduler(2.0, 0.02)": 2.0,
        "StepParamScheduler(20, [0.1, 0.05, 0.01])": 0.1,
        "MultiStepParamScheduler([0.1, 0.05, 0.01], 20, [5, 15])": 0.1,
        "CompositeParamScheduler([ConstantParamScheduler(0.1), CosineParamScheduler(0.1, 0.0)], [0.5, 0.5], ['rescaled', 'rescaled'])": 0.1,
    }
    share = lambda schedule, t: schedule(t / 20)
    return [called(names, text, base, 20, share) for text, base in texts.items()]


def megatron_cases():
    names = alone("megatron", "megatron/core/optimizer_param_scheduler.py")
    end = "start_wd=0.0, end_wd=0.0, wd_incr_steps=0, wd_incr_style='constant'"
    texts = [
        f"OptimizerParamScheduler(optimizer, 0.0, 0.2, 0.02, 5, 20, 'linear', {end})",
        f"OptimizerParamScheduler(optimizer, 0.01, 0.2, 0.02, 0, 20, 'cosine', {end})",
        f"OptimizerParamScheduler(optimizer, 0.0, 0.2, 0.0, 4, 20, 'constant', {end})",
        f"OptimizerParamScheduler(optimizer, 0.01, 0.2, 0.02, 4, 20, 'inverse-square-root', {end})",
        f"OptimizerParamScheduler(optimizer, 0.0, 0.2, 0.02, 4, 20, 'WSD', {end}, wsd_decay_steps=6, lr_wsd_decay_style='cosine')",
        f"OptimizerParamScheduler(optimizer, 0.0, 0.2, 0.02, 4, 20, 'WSD', {end}, wsd_decay_steps=6, lr_wsd_decay_style='exponential')",
    ]
    step = lambda scheduler, t: scheduler.step(1)
    return [stepped(names, text, 26, [0.2], step) for text in texts]


def nemo_cases():
    names = alone("nemo", "nemo/core/optim/lr_scheduler.py")
    texts = [
        "CosineAnnealing(optimizer, max_steps=20)",
        "CosineAnnealing(optimizer, max_steps=20, min_lr=0.001, warmup_ratio=0.2)",
        "PolynomialDecayAnnealing(optimizer, max_steps=20, power=2.0, warmup_steps=3)",
        "InverseSquareRootAnnealing(optimizer, max_steps=20)",
        "InverseSquareRootAnnealing(optimizer, max_steps=20, warmup_ratio=0.1)",
        "SquareRootAnnealing(optimizer, max_steps=20, warmup_steps=2)",
        "WarmupHoldAnnealLinear(optimizer, max_steps=20, min_lr=0.001, warmup_steps=3, hold_steps=4)",
    ]
    return [stepped(names, text, 24) for text in texts]


def espnet2_cases():
    files = ["warmup_lr", "piecewise_linear_warmup_lr", "exponential_decay_warmup"]
    names = {}
    for file in files:
        names |= alone("espnet2", f"espnet2/schedulers/{file}.py")
    texts = [
        "WarmupLR(optimizer, 4)",
        "WarmupLR(optimizer, warmup_steps=1)",
        "PiecewiseLinearWarmupLR(optimizer, [0, 3, 8], [0.0, 0.05, 0.2])",
        "ExponentialDecayWarmup(optimizer, 0.2, 0.002, 20)",
        "ExponentialDecayWarmup(optimizer, 0.2, 0.002, 20, 4, True)",
    ]
    return [stepped(names, text, 20, [0.2]) for text in texts]


def mxnet_cases():
    names = alone("mxnet", "mxnet/lr_scheduler.py")
    texts = {
        "FactorScheduler(5, 0.5, base_lr=0.1)": 0.1,
        "FactorScheduler(step=4, factor=0.1, stop_factor_lr=1e-3, base_lr=0.1)": 0.1,
        "MultiFactorScheduler([3, 9], 0.2, base_lr=0.1)": 0.1,
        "PolyScheduler(15, 0.1)": 0.1,
        "CosineScheduler(15, 0.1, 0.01)": 0.1,
        "CosineScheduler(15, base_lr=0.1, warmup_steps=4, warmup_begin_lr=0.001)": 0.1,
    }
    # The optimizers count an update before they ask.
    counted = lambda schedule, t: schedule(t + 1)
    return [called(names, text, base, 20, counted) for text, base in texts.items()]


def main():
    cases = json.loads(FILE.read_text()) if FILE.exists() else {}
    for package in sys.argv[1:]:
        cases[package] = globals()[f"{package}_cases"]()
    lines = [f"{json.dumps(package)}: [\n" + ",\n".join(map(json.dumps, own)) + "\n]" for package, own in cases.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
