"""Makes cases.json: outputs and targets, and the metrics that scikit-learn and torchmetrics compute of them.

Made once with scikit-learn 1.9.1, torchmetrics 1.9.0 and torch 2.15.0: `python make.py > cases.json`.
Logits are multiples of 1/4, so that some are equal, and exact in f32.
"""

import json
import sys
import warnings

import numpy as np
import sklearn
import sklearn.metrics as sk
import torch
import torchmetrics
import torchmetrics.functional as tm
from scipy.special import expit, log_softmax, softmax

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)
data, cases = {}, []


def quarters(*shape, scale=6):
    return np.round(rng.normal(size=shape) * scale) / 4


def add(name, outputs, targets):
    data[name] = {"outputs": np.asarray(outputs).tolist(), "targets": np.asarray(targets).tolist()}
    return np.asarray(outputs, dtype=np.float64), np.asarray(targets)


def number(x):
    x = float(x)
    return x if np.isfinite(x) else None


def case(of, metric, lists=None, **expected):
    """`expected`: the number by library; None where it is not defined."""
    table = metric if isinstance(metric, dict) else {"kind": metric}
    expected = {name.replace("_", "-"): number(x) for name, x in expected.items()}
    lists = {name: np.asarray(x, dtype=float).ravel().tolist() for name, x in (lists or {}).items()}
    cases.append({"data": of, "metric": table, "expected": expected, "lists": lists})


def by_class(of, targets, predicted, classes):
    """Figures of one class a row."""
    t, p = torch.tensor(targets).flatten(), torch.tensor(predicted).flatten()
    targets, predicted = targets.ravel(), predicted.ravel()
    of_tm = {"precision": tm.precision, "recall": tm.recall, "f1": tm.f1_score}
    of_sk = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    for name in of_sk:
        for average in ["macro", "micro"]:
            case(
                of,
                f"{name}_{average}",
                scikit_learn=of_sk[name](targets, predicted, average=average, zero_division=0),
                torchmetrics=of_tm[name](p, t, task="multiclass", num_classes=classes, average=average),
            )
        each = of_sk[name](targets, predicted, average=None, labels=range(classes), zero_division=0)
        occur = np.union1d(targets, predicted)
        case(of, f"{name}_per_class", {f"{name}_by_class": each}, scikit_learn=each[occur].min())
        if classes == 2:
            case(
                of,
                name,
                scikit_learn=of_sk[name](targets, predicted, zero_division=0),
                torchmetrics=of_tm[name](p, t, task="binary"),
            )
    case(of, "balanced_accuracy", scikit_learn=sk.balanced_accuracy_score(targets, predicted))
    matrix = sk.confusion_matrix(targets, predicted, labels=range(classes))
    ours = tm.confusion_matrix(p, t, task="multiclass", num_classes=classes).numpy()
    assert (matrix == ours).all()
    case(of, "confusion_matrix", {"confusion_counts": matrix}, scikit_learn=sk.zero_one_loss(targets, predicted))


def calibration(of, probabilities, targets):
    p, t = torch.tensor(probabilities, dtype=torch.float32), torch.tensor(targets)
    task = {"task": "binary"} if p.ndim == 1 else {"task": "multiclass", "num_classes": p.shape[1]}
    for bins, norm in [(15, "l1"), (10, "l2"), (4, "max")]:
        found = tm.calibration_error(p, t, n_bins=bins, norm=norm, **task)
        case(of, {"kind": "calibration_error", "bins": bins, "norm": norm}, torchmetrics=found)


def binary(name, score, targets, columns):
    """Two classes, given by one logit or by two."""
    score = np.asarray(score, dtype=np.float64)
    offset = quarters(len(score))
    outputs = score[:, None] if columns == 1 else np.stack([offset, offset + score], axis=1)
    _, targets = add(name, outputs, targets)
    p, t = expit(score), torch.tensor(targets)
    predicted = (score > 0).astype(int)
    by_class(name, targets, predicted, 2)
    one = len(set(targets.tolist())) == 1
    auroc = None if one else tm.auroc(torch.tensor(p), t, task="binary")
    case(
        name,
        "auroc",
        scikit_learn=float("nan") if one else sk.roc_auc_score(targets, score),
        torchmetrics=float("nan") if one else auroc,
    )
    if targets.sum() > 0:
        case(
            name,
            "average_precision",
            scikit_learn=sk.average_precision_score(targets, score),
            torchmetrics=tm.average_precision(torch.tensor(p), t, task="binary"),
        )
    else:
        case(name, "average_precision", torchmetrics=float("nan"))
    case(name, "brier_score", scikit_learn=sk.brier_score_loss(targets, p, labels=[0, 1], pos_label=1))
    calibration(name, p, targets)
    pair = np.stack([np.zeros_like(score), score], axis=1)
    nll = -log_softmax(pair, axis=1)[np.arange(len(score)), targets]
    case(name, "perplexity", numpy=np.exp(nll.mean()))
    # Equal probabilities of both classes count as right.
    right = (predicted == targets) | (score == 0)
    case(name, {"kind": "top_k_accuracy", "k": 1}, numpy=right.mean())


def several(name, outputs, targets):
    outputs, targets = add(name, outputs, targets)
    classes = outputs.shape[-1]
    flat, t = outputs.reshape(-1, classes), targets.ravel()
    # As a model in f32 gives them: some are equal then that are not in f64.
    p, predicted = softmax(flat, axis=1).astype(np.float32), flat.argmax(axis=1)
    by_class(name, t, predicted, classes)
    there = [c for c in range(classes) if 0 < (t == c).sum() < len(t)]
    case(
        name,
        "auroc",
        scikit_learn=np.mean([sk.roc_auc_score(t == c, p[:, c]) for c in there]),
        **(
            {"torchmetrics": tm.auroc(torch.tensor(p), torch.tensor(t), task="multiclass", num_classes=classes)}
            if len(there) == classes
            else {}
        ),
    )
    case(
        name,
        "average_precision",
        scikit_learn=np.mean([sk.average_precision_score(t == c, p[:, c]) for c in there]),
        torchmetrics=tm.average_precision(torch.tensor(p), torch.tensor(t), task="multiclass", num_classes=classes),
    )
    case(name, "brier_score", scikit_learn=sk.brier_score_loss(t, p, labels=range(classes)))
    calibration(name, p, t)
    case(name, "perplexity", torchmetrics=tm.text.perplexity(torch.tensor(flat)[None], torch.tensor(t)[None]))
    for k in [1, 2]:
        case(
            name,
            {"kind": "top_k_accuracy", "k": k},
            # Ties may be broken either way, so that the definition is written out.
            numpy=np.mean([(flat[i] > flat[i, c]).sum() < k for i, c in enumerate(t)]),
        )


def labels(name, outputs, targets):
    outputs, targets = add(name, outputs, targets.astype(float))
    count, t = outputs.shape[1], targets.astype(int)
    predicted = (outputs > 0).astype(int)
    of_tm = {"precision": tm.precision, "recall": tm.recall, "f1": tm.f1_score}
    of_sk = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    task = {"task": "multilabel", "num_labels": count}
    for figure in of_sk:
        for average in ["macro", "micro"]:
            case(
                name,
                f"{figure}_{average}",
                scikit_learn=of_sk[figure](t, predicted, average=average, zero_division=0),
                torchmetrics=of_tm[figure](torch.tensor(predicted), torch.tensor(t), average=average, **task),
            )
        each = of_sk[figure](t, predicted, average=None, zero_division=0)
        case(name, f"{figure}_per_class", {f"{figure}_by_class": each}, scikit_learn=each.min())
    there = [c for c in range(count) if 0 < t[:, c].sum() < len(t)]
    case(name, "auroc", scikit_learn=np.mean([sk.roc_auc_score(t[:, c], outputs[:, c]) for c in there]))
    case(
        name,
        "average_precision",
        scikit_learn=np.mean([sk.average_precision_score(t[:, c], outputs[:, c]) for c in range(count) if t[:, c].any()]),
    )
    case(name, "brier_score", scikit_learn=np.mean([(expit(outputs) - t) ** 2]))


def values(name, outputs, targets):
    outputs, targets = add(name, outputs, targets)
    o, t = torch.tensor(outputs), torch.tensor(targets)
    case(
        name,
        "mean_absolute_error",
        scikit_learn=sk.mean_absolute_error(targets, outputs),
        torchmetrics=tm.mean_absolute_error(o, t),
    )
    one = outputs.shape[1] == 1
    case(
        name,
        "root_mean_squared_error",
        **({"scikit_learn": sk.root_mean_squared_error(targets, outputs)} if one else {}),
        torchmetrics=tm.mean_squared_error(o, t, squared=False),
    )
    case(name, "r2", scikit_learn=sk.r2_score(targets, outputs) if len(targets) > 1 else float("nan"))
    for q in [0.5, 0.9]:
        case(
            name,
            {"kind": "quantile_loss", "quantile": q},
            scikit_learn=sk.mean_pinball_loss(targets, outputs, alpha=q),
        )


truth = rng.integers(0, 2, 61)
binary("two classes, one logit", quarters(61) + truth, truth, 1)
binary("two classes, two logits", quarters(61) + truth, truth, 2)
binary("only class 1", quarters(20), np.ones(20, dtype=int), 1)
binary("only class 0", quarters(20), np.zeros(20, dtype=int), 2)
certain = rng.integers(0, 2, 30)
binary("probabilities 0 and 1", np.where(rng.random(30) < 0.8, 2 * certain - 1, 1 - 2 * certain) * 100.0, certain, 2)
binary("one score", np.full(12, 0.25), np.arange(12) % 2, 1)

truth = rng.integers(0, 3, 50)
several("three classes", quarters(50, 3) + 2 * np.eye(3)[truth], truth)
truth = rng.integers(0, 2, 40)
absent = quarters(40, 4) + 2 * np.eye(4)[truth]
absent[:, 3] = -50
absent[::9, 2] = 40
several("classes that no row has", absent, truth)
several("certain of one of three", np.eye(3)[rng.integers(0, 3, 25)] * 200, rng.integers(0, 3, 25))
several("positions", quarters(5, 4, 6), rng.integers(0, 6, (5, 4)))

truth = (rng.random((40, 4)) < 0.4).astype(int)
truth[:, 2] = 0
truth[:, 3] = 1
labels("labels", quarters(40, 4) + truth, truth)

targets = np.round(rng.normal(size=(30, 1)) * 64) / 64
values("values", targets + quarters(30, 1) / 8, targets)
targets = np.round(rng.normal(size=(25, 3)) * 64) / 64
values("three values a row", targets + quarters(25, 3) / 8, targets)
values("values far from 0", 100000 + quarters(20, 1) / 8 + 1 / 8, 100000 + quarters(20, 1) / 8)
values("equal targets", quarters(10, 1), np.full((10, 1), 3.0))
values("equal targets, all right", np.full((10, 1), 3.0), np.full((10, 1), 3.0))
values("one row", [[1.5]], [[1.0]])

json.dump({"data": data, "cases": cases}, sys.stdout, separators=(",", ":"))
print()
print(f"scikit-learn {sklearn.__version__}, torchmetrics {torchmetrics.__version__}, torch {torch.__version__}", file=sys.stderr)
