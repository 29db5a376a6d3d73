"""Folders of studies, written by hand."""

import json

import numpy as np


def summary(method, seed, value, **grid):
    """What a finished trial of a method leaves: figures by the value, costs by the method."""
    size = 1000 if method == "zero" else 3000
    groups = {"task.head": 1000} | ({} if method == "zero" else {"fin.a_b": 1000, "fin.b_a": 1000})
    splits = {
        "test": {"accuracy": value, "uar": value / 2, "loss": 1.0},
        "test_unmasked": {"accuracy": value + 0.25, "uar": value, "loss": 1.0},
    }
    return {
        "seed": seed, "grid": {**grid, "method": method}, "status": "finished", "round": 2, "splits": splits,
        "parameters": size, "parameters_by_group": groups, "bytes_up": 2 * size, "bytes_down": 4 * size,
        "traffic": {n: {"down": 4 * p, "up": 2 * p} for n, p in groups.items()}, "steps": 10 * seed,
        "compute_s": 3.0, "seconds_s": 2.0, "peak_bytes_rss": 400_000_000,
        "macs": {"sample": 5000, "round": 6_000_000, "by_group": dict.fromkeys(groups, 1500)},
    }  # fmt: skip


def failed(method, seed, **grid):
    """What a trial leaves that failed."""
    return {"seed": seed, "grid": {**grid, "method": method}, "status": "failed", "error": "the loss is nan"}


def write_study(out, summaries, *, planned=0, scenario="study", lr=0.1):
    """Writes a study of these trials, each with two rounds, and of some that have not begun."""
    settings = {
        "evaluation": {"metrics": ["accuracy", "uar"], "metric": "accuracy", "select": "best"},
        "federation": {"rounds": 2, "optimizer": {"lr": lr}},
    }
    trials = {}
    for found in summaries:
        name = ",".join(f"{k}={v}" for k, v in {**found["grid"], "seed": found["seed"]}.items())
        trials[f"{scenario}/{name}"] = settings
        folder = out / scenario / name
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps(found))
        (folder / "metrics.jsonl").write_text('{"round": 1}\n{"round": 2}\n')
    trials |= {f"{scenario}/later={i}": settings for i in range(planned)}
    out.mkdir(exist_ok=True)
    (out / "study.json").write_text(json.dumps({"format": "raysim study 1", "trials": trials}))
    return out


def keep(out, name, labels, *, scored=None, scenario="study", **views):
    """What a trial predicted: of each view the class of each sample."""
    arrays = {f"{view}.scored": np.array(scored) for view in views if scored is not None}
    for view, classes in views.items():
        arrays[view] = np.where(np.equal.outer(classes, range(max(3, max(labels) + 1))), 0.0, -2.0).astype(np.float16)
    path = out / scenario / name / "predictions.npz"
    said = {"outcome": "single_label" if np.ndim(labels) == 1 else "multi_label", "outputs": ["a", "b", "c"]}
    np.savez(path, labels=np.array(labels), rows=np.arange(len(labels)), round=np.array(2), **said, **arrays)


def small_study(out, **settings):
    """Two methods; zero fill with two seeds."""
    return write_study(out, [summary("zero", 1, 0.25), summary("zero", 2, 0.5), summary("fin", 1, 0.75)], **settings)


def grid_study(out):
    """Two methods at two rates, two seeds each."""
    values = {("0.5", "zero"): 0.25, ("0.5", "fin"): 0.5, ("0.25", "zero"): 0.5, ("0.25", "fin"): 0.375}
    trials = [(rate, method, seed, v + seed / 8) for (rate, method), v in values.items() for seed in (1, 2)]
    return write_study(out, [summary(m, seed, value, **{"missing.rate": rate}) for rate, m, seed, value in trials])
