"""Whether samples are large enough for the listed encoders, and of the right number of channels; no network is built.

Shapes: T steps, C channels.
"""

from collections.abc import Mapping

from raysim.data.dataset import Kind
from raysim.models.encoders import BUILDERS, encoder_name
from raysim.scenario.model import Encoder as Spec
from raysim.scenario.model import Model, OwnEncoder, Whole


def check_sizes(shapes: Mapping[str, tuple[int, ...]], kinds: Mapping[str, Kind], model: Model) -> None:
    """Whether the encoder of each modality takes samples of its shape.

    Args:
        shapes: modality -> the shape of one sample, where it is known.
        kinds: modality -> what it is.
        model: names the encoders.

    Raises:
        ValueError: one does not; one line with the way out.
    """
    for name, shape in shapes.items():
        if name not in kinds:
            continue
        spec = model.encoders.get(name, Spec())
        if isinstance(spec, OwnEncoder | Whole):  # they are tried instead: `raysim.models.own`, `whole`
            continue
        chosen = encoder_name(kinds[name], spec)
        halvings = len(spec.channels or BUILDERS[chosen][1]) if chosen in BUILDERS else 0
        least = 2**halvings
        if chosen == "cnn" and min(shape[1:]) < least:
            raise ValueError(
                f"'cnn' halves the image '{name}' {halvings} times, so {shape[1]} x {shape[2]} pixels leave nothing; "
                f"write {_fewer(name, min(shape[1:]))}, or images of at least {least} x {least}, as (N, C, H, W)"
            )
        if chosen == "conv_gru" and shape[0] < least:
            raise ValueError(
                f"'conv_gru' halves the steps of '{name}' {halvings} times, so it needs {least} or more, not "
                f"{shape[0]}; write {_fewer(name, shape[0])}, or use 'gru'"
            )
        if chosen == "resnet50" and shape[0] not in (1, 3):
            raise ValueError(f"'resnet50' takes images of 1 or 3 channels, and '{name}' has {shape[0]}; use 'cnn'")


def _fewer(name: str, size: int) -> str:
    """What to set so that convolutions suit a size of at least 2."""
    most = size.bit_length() - 1
    return f"model.encoders.{name}.channels with at most {most} numbers" if most else "another encoder"
