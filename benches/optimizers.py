"""PyTorch's side of `benches/optimizers.rs`: makes an update of the rule and the shapes that each line names, and prints its
seconds and whose class it was, or `-` if no package here has the rule.

    optimizers.py THREADS
"""

import importlib
import inspect
import json
import sys
import time

import torch


def torch_class(name, form="foreach"):
    """A class of PyTorch: its fused form where there is one, or its foreach form. Muon has neither."""
    return ("torch.optim", name, {form: True} if form else {})


def timm(name, **settings):
    return ("timm.optim", name, settings)


def package(module, name, **settings):
    return (module, name, settings)


# By kind, or by kind and settings where these make another class.
CLASSES = {
    "sgd": torch_class("SGD", "fused"),
    "adam": torch_class("Adam", "fused"),
    "adamw": torch_class("AdamW", "fused"),
    "adagrad": torch_class("Adagrad", "fused"),
    "nadam": torch_class("NAdam"),
    "radam": torch_class("RAdam"),
    "adamax": torch_class("Adamax"),
    "rmsprop": torch_class("RMSprop"),
    "adadelta": torch_class("Adadelta"),
    "rprop": torch_class("Rprop"),
    "asgd": torch_class("ASGD"),
    "adafactor": torch_class("Adafactor"),
    "muon": torch_class("Muon", None),
    "muon keller_jordan": package("pytorch_optimizer", "Muon"),
    "lion": timm("Lion"),
    "lion timm": timm("Lion", caution=True),
    "schedule_free_adamw": package("schedulefree", "AdamWScheduleFree"),
    "schedule_free_sgd": package("schedulefree", "SGDScheduleFree"),
    "prodigy": package("prodigyopt", "Prodigy"),
    "lamb": timm("Lamb", max_grad_norm=None),
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
    "ftrl": package("pytorch_optimizer", "FTRL"),
    "shampoo": package("pytorch_optimizer", "Shampoo"),
}


def read(rule):
    """The kind, with a variant or a caution behind it, and the other settings of a rule."""
    pairs = (pair.split(" = ") for pair in rule.split("; "))
    settings = {name: json.loads(value.replace("'", '"')) for name, value in pairs}
    names = [settings.pop(name) for name in ("kind", "variant", "cautious") if name in settings]
    return " ".join(names), settings


def make(rule, shapes):
    """The optimizer and its package, or None."""
    kind, settings = read(rule)
    if kind not in CLASSES:
        return None
    module, name, form = CLASSES[kind]
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
    if "foreach" in inspect.signature(made).parameters and "fused" not in form:
        form = {"foreach": True, **form}
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    # Packages whose optimizers also have AdamW ask which parameters have their own rule.
    groups = [{"params": parameters, "use_muon": True}] if kind == "muon keller_jordan" else parameters
    optimizer = made(groups, lr=1e-3, **form, **settings)
    if hasattr(optimizer, "train"):
        optimizer.train()
    whose = {"torch.optim": "PyTorch", "timm.optim": "timm"}.get(module, module.replace("_", "-"))
    forms = [form_name for form_name in ("fused", "foreach") if form.get(form_name)]
    return optimizer, " ".join([whose, *forms])


def main():
    torch.set_num_threads(int(sys.argv[1]))
    last, made = None, None
    for line in sys.stdin:
        if line != last:
            rule, shapes = line.rstrip("\n").split("\t")
            last, made = line, make(rule, json.loads(shapes))
        began = time.perf_counter()
        if made is not None:
            made[0].step()
        print("-" if made is None else f"{time.perf_counter() - began} {made[1]}", flush=True)


if __name__ == "__main__":
    main()
