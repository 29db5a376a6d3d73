"""Studies for the page and its pictures: curves, clients, subsets, odd names, many trials."""

import csv
import json

import numpy as np
from studies import failed, summary, write_study

ODD = "<script>alert(\"x\")</script> & 'q' 方法"
"""A name that would do harm where it is not escaped."""
SUBSETS = ("a", "b", "c", "a+b", "a+c", "b+c", "a+b+c")


def write_rounds(folder, ends, rounds=6, clients=0):
    """A metrics.jsonl that comes close to the given ends, from 0.1 on."""
    entry = [{"id": k, "samples": 100, "steps": 9, "loss": {"task": 1.5}, "seconds_s": 0.1} for k in range(clients)]
    lines = []
    for number in range(1, rounds + 1):
        share = 1 - 0.6**number
        scores = {"accuracy": 0.1 + share * (ends - 0.1), "uar": 0.1 + share * (ends - 0.15), "loss": 2.3 - share}
        record = {"round": number, "clients": entry, "bytes_up": 1000, "bytes_down": 2000, "validation": scores}
        lines.append(json.dumps(record) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))


def write_served(folder, mean, seed, clients=20):
    """clients.csv and subsets.csv about a mean."""
    rng = np.random.default_rng(seed)
    scores = np.clip(mean + 0.15 * rng.standard_normal(clients), 0, 1)
    with (folder / "clients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "client", "id", "role", "rows", "accuracy", "uar"])
        for split, more in (("validation", 0.5), ("test", 0.0)):
            writer.writerows([split, k, "", "a+b", 12, min(s + more, 1.0), s / 2] for k, s in enumerate(scores))
    with (folder / "subsets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["given", "rows", "accuracy", "uar"])
        writer.writerows([s, 40, mean - 0.1 * (2 - s.count("+")), ""] for s in SUBSETS)


def write_dealt(folder, seed, clients=12, classes=("cat", ODD, "owl")):
    """partition.json; the same for one seed."""
    rng = np.random.default_rng(seed)
    rows = [
        {"id": k, "counts": rng.integers(0, 40, len(classes)).tolist(),
         "modalities": {"a": int(rng.integers(0, 90)), "b": 90}}
        for k in range(clients)
    ]  # fmt: skip
    (folder / "partition.json").write_text(json.dumps({"classes": list(classes), "clients": rows}))


def fill(out, scenario, found, *, rounds=6, clients=0, dealt=12):
    """What a trial's folder holds beside its summary."""
    if found["status"] != "finished":
        return
    name = ",".join(f"{k}={v}" for k, v in {**found["grid"], "seed": found["seed"]}.items()).replace("/", "_")
    folder = out / scenario / name
    value = found["splits"]["test"]["accuracy"]
    write_rounds(folder, value, rounds, clients)
    write_served(folder, value, found["seed"])
    write_dealt(folder, found["seed"], dealt)
    (folder / "scenario.yaml").write_text(f"name: {scenario}\ndescription: 'all of <{scenario}>'\nseeds: [1]\n")


def odd_study(out):
    """Three arms, one of an odd name, two seeds; a trial failed, one has not begun, clients were left out of one."""
    safe = ODD.replace("/", "_")
    trials = [
        summary("zero", 1, 0.5) | {"skipped": 3, "origin": {"raysim": "0.1", "data": "d1", "code": {"plan.py": "c1"}}},
        summary("zero", 2, 0.625), summary(safe, 1, 0.75), summary(safe, 2, 0.875), summary("fin", 1, 0.375),
        failed("fin", 2) | {"error": f"the loss is nan in {ODD}"},
    ]  # fmt: skip
    write_study(out, trials, planned=1)
    for found in trials:
        fill(out, "study", found)
    return out


def many_trials(out, methods=9, rates=(0.1, 0.3, 0.5, 0.7, 0.9), seeds=(1, 2, 3), **extent):
    """A trial a method, rate and seed; 135 if nothing else is said."""
    trials = [
        summary(f"method_{m}", seed, round(0.9 - 0.03 * m - 0.4 * rate + 0.01 * seed, 4), **{"missing.rate": str(rate)})
        for rate in rates for m in range(methods) for seed in seeds
    ]  # fmt: skip
    write_study(out, trials)
    for found in trials:
        fill(out, "study", found, **extent)
    return out


def losses_alone(out, scenario="losses"):
    """A method that predicts nothing."""
    found = summary("vae", 1, 0.5) | {"splits": {"test": {"loss": 1.5}, "validation": {"loss": 1.75}}}
    write_study(out, [found], scenario=scenario)
    folder = out / scenario / "method=vae,seed=1"
    lines = [{"round": r, "validation": {"loss": 3 / r}} for r in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return out
