"""PyTorch's side of `benches/optimizers.rs`: makes an update of the rule that each line names, and prints its seconds, or
`-` if no package here has the rule.

    optimizers.py THREADS SHAPES
"""

import json
import sys
import time

import torch


def timm(name):
    def make(parameters, **settings):
        import timm.optim

        return getattr(timm.optim, name)(parameters, lr=1e-3, **settings)

    return make


def package(module, name):
    def make(parameters, **settings):
        made = getattr(__import__(module), name)(parameters, lr=1e-3, **settings)
        if hasattr(made, "train"):
            made.train()
        return made

    return make


def torch_class(name, **form):
    return lambda parameters, **settings: getattr(torch.optim, name)(parameters, lr=1e-3, **form, **settings)


# By kind: the fused form where there is one, or the foreach form; Muon has neither.
CLASSES = {
    "sgd": torch_class("SGD", fused=True),
    "adam": torch_class("Adam", fused=True),
    "adamw": torch_class("AdamW", fused=True),
    "adagrad": torch_class("Adagrad", fused=True),
    "nadam": torch_class("NAdam", foreach=True),
    "radam": torch_class("RAdam", foreach=True),
    "adamax": torch_class("Adamax", foreach=True),
    "rmsprop": torch_class("RMSprop", foreach=True),
    "adadelta": torch_class("Adadelta", foreach=True),
    "rprop": torch_class("Rprop", foreach=True),
    "asgd": torch_class("ASGD", foreach=True),
    "adafactor": torch_class("Adafactor", foreach=True),
    "muon": torch_class("Muon"),
    "lion": package("lion_pytorch", "Lion"),
    "schedule_free_adamw": package("schedulefree", "AdamWScheduleFree"),
    "schedule_free_sgd": package("schedulefree", "SGDScheduleFree"),
    "prodigy": package("prodigyopt", "Prodigy"),
    "lamb": timm("Lamb"),
    "adopt": timm("Adopt"),
    "adan": timm("Adan"),
    "mars": timm("Mars"),
    "ademamix": package("pytorch_optimizer", "AdEMAMix"),
    "stable_adamw": package("pytorch_optimizer", "StableAdamW"),
    "soap": package("pytorch_optimizer", "SOAP"),
    "lars": timm("Lars"),
    "novograd": timm("NvNovoGrad"),
    "laprop": timm("LaProp"),
    "came": package("came_pytorch", "CAME"),
    "adabelief": package("pytorch_optimizer", "AdaBelief"),
    "yogi": package("pytorch_optimizer", "Yogi"),
    "grokfast_adamw": package("pytorch_optimizer", "GrokFastAdamW"),
    "shampoo": package("pytorch_optimizer", "Shampoo"),
}


def read(rule):
    """The kind and the other settings of a rule."""
    pairs = (pair.split(" = ") for pair in rule.split("; "))
    settings = {name: json.loads(value.replace("'", '"')) for name, value in pairs}
    return settings.pop("kind"), settings


def make(rule, shapes):
    """The optimizer, or None."""
    kind, settings = read(rule)
    if "variant" in settings or "cautious" in settings:
        return None
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    try:
        return CLASSES[kind](parameters, **settings)
    except (ImportError, AttributeError, KeyError):
        return None


def main():
    threads, shapes = int(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(threads)
    last, optimizer = None, None
    for line in sys.stdin:
        rule = line.strip()
        if rule != last:
            last, optimizer = rule, make(rule, shapes)
        began = time.perf_counter()
        if optimizer is not None:
            optimizer.step()
        print("-" if optimizer is None else time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
