import os
import subprocess
import sys

import pytest

COMPLETE = "import sys; from raysim.cli.app import main; code = main(); sys.stdout.flush(); raise SystemExit(code)"


def completed(words, **environment):
    """What a shell would offer for the last word."""
    words = ["raysim", *words]
    asked = {"_RAYSIM_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE], env={**os.environ, **asked, **environment}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["run", "quick"], ["quickstart"]),
        (["validate", "fin/table3"], ["fin/table3_cost"]),
        (["new", "--dataset", "ut"], ["utd_mhad"]),
        (["new", "--method", "feat"], ["feature_imputation"]),
        (["info", "federation"], ["federation", "federation.checkpoint", "federation.faults"]),
        (["info", "method", "zero"], ["zero_fill", "zero_input"]),
        (["info", "partition", "dir"], ["dirichlet"]),
        (["list", "sc"], ["schedules", "scenarios"]),
        (["run", "--track", "tens"], ["tensorboard"]),
        (["run", "./"], []),  # the shell's own files
    ],
)
def test_names_are_completed(words, offered):
    assert completed(words) == offered


def test_completing_imports_neither_torch_nor_ray():
    code = (
        "import sys; from raysim.cli import completion as c; "
        "print(len([*c.scenarios(''), *c.datasets(''), *c.methods(''), *c.generators(''), *c.trackers('')]) > 50, "
        "sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "True []\n"
