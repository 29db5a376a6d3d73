"""torchvision for the tests that need it: `pytest -m vision`.

Where it is not installed it lies in `.venv/alone`: its wheel from PyPI is linked to CUDA, and on the path
of other tests a torchvision that cannot be imported would break transformers.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / ".venv" / "alone"
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = torch.library.Library("torchvision", "FRAGMENT")  # what it defines lasts as long as it


def torchvision(*, own_run):
    """The package; `own_run` says whether no other tests run in this process."""
    if importlib.util.find_spec("torchvision") is None:
        if not FOLDER.is_dir():
            pytest.skip(f"torchvision is not installed, nor in {FOLDER}; run make test")
        if not own_run:
            pytest.skip("torchvision is for a run of its own here; run pytest -m vision")
        sys.path.append(str(FOLDER))
        _define_missing()
    return importlib.import_module("torchvision")


def _define_missing():
    """Its import wants two operators, which its own library defines where that can be loaded."""
    try:
        for path in FOLDER.glob("torchvision/_C.*"):
            torch.ops.load_library(path)
    except OSError:
        for operator in OPERATORS:
            _library.define(operator)
