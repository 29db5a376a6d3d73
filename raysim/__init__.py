"""raysim: multimodal federated learning on Ray when clients lack modalities.

These names are what a program may rely on, beside what authors of methods, generators, datasets and algorithms import
from `raysim.method`, `raysim.generators`, `raysim.data` and `raysim.algorithms`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from raysim.version import VERSION

if TYPE_CHECKING:
    from raysim.api import run, validate
    from raysim.data.dataset import DataError
    from raysim.engine.environment import NoCluster
    from raysim.predictor import Predictor, load
    from raysim.report.reading.folder import FolderError
    from raysim.results import Study, Trial, open
    from raysim.scenario.errors import ScenarioError
    from raysim.training.kept import ModelError

__version__ = VERSION
__all__ = [
    "DataError", "FolderError", "ModelError", "NoCluster", "Predictor", "ScenarioError", "Study", "Trial",
    "__version__", "load", "open", "run", "validate",
]  # fmt: skip
_HOMES = {
    "raysim.api": ("run", "validate"),
    "raysim.data.dataset": ("DataError",),
    "raysim.engine.environment": ("NoCluster",),
    "raysim.predictor": ("Predictor", "load"),
    "raysim.report.reading.folder": ("FolderError",),
    "raysim.results": ("Study", "Trial", "open"),
    "raysim.scenario.errors": ("ScenarioError",),
    "raysim.training.kept": ("ModelError",),
}


def __getattr__(name: str) -> Any:
    """Imports when it is first asked for: torch takes seconds."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'raysim' has no attribute '{name}'")
