"""Trackers as the users of `raysim run` see them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import Marked, outcome

MATERIAL = Path(__file__).parents[2] / "engine" / "material"
ROUNDS = 30


@pytest.fixture
def marked():
    found = Marked()
    shutil.copy(MATERIAL / "ray_material.py", found.folder)
    shutil.copy(MATERIAL / "small.yaml", found.folder)
    yield found
    found.close()


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_study_goes_on_with_its_run_and_no_bit_is_another(marked):
    pytest.importorskip("tensorboard", reason="pip install 'raysim[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, whole = marked.folder / "out", marked.folder / "whole"
    settings = ["--set", f"federation.rounds={ROUNDS}", "--set", "federation.checkpoint.every_rounds=4"]
    command = ["run", "small.yaml", *settings]
    with marked.start(*command, "--out", out, "--track", "tensorboard") as process:
        assert any("round 15/" in line for line in process.stdout)
        marked.kill()
        process.communicate()
    status, text, err = marked.run(*command, "--out", out, "--track", "tensorboard", "--resume")
    assert (status, err) == (0, "")
    assert "; goes on after round " in text
    status, _, err = marked.run(*command, "--out", whole, "--progress", "none")
    assert (status, err) == (0, "")
    assert outcome(out) == outcome(whole)

    trial = out / "small" / "seed=0"
    found = EventAccumulator(str(trial), size_guidance={"scalars": 0})
    found.Reload()
    lines = [json.loads(line) for line in (trial / "metrics.jsonl").read_text().splitlines()]
    assert [event.step for event in found.Scalars("loss/task")] == list(range(1, ROUNDS + 1))
    for event, line in zip(found.Scalars("cost/train_s"), lines, strict=True):
        assert event.value == pytest.approx(line["train_s"], rel=1e-6)


def test_a_run_that_asks_for_no_tracker_imports_none():
    code = (
        "import sys; from pathlib import Path; import raysim.cli.app, raysim.engine.study; "
        "from raysim.report.sinks import open_sinks; open_sinks('plain', Path('nowhere')); "
        "print(sorted({'tensorboard', 'mlflow', 'wandb', 'raysim.report.trackers.wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
