"""raysim: multimodal federated learning on Ray when clients lack modalities."""

from typing import TYPE_CHECKING, Any

from raysim.version import VERSION

if TYPE_CHECKING:
    from raysim.predictor import load

__version__ = VERSION
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """What imports torch is imported when it is first asked for."""
    if name == "load":
        from raysim.predictor import load

        return load
    raise AttributeError(f"module 'raysim' has no attribute '{name}'")
