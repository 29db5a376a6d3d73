"""Low-rank adapters in a network of another library, by `peft`.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021, section 4.1: W x + (alpha / r) B A x,
where B begins at zero.
"""

import copy
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raysim.features._hub import short
from raysim.models.encoder import parts
from raysim.scenario.messages import near
from raysim.scenario.model import Lora

MARK = "lora_"
"""What names of adapters' tensors contain, after a dot."""
EXTRA = "pip install 'raysim[lora]'"


def adapted(net: nn.Module, lora: Lora) -> nn.Module:
    """The network with adapters in it, whose other weights take no gradient.

    Adapters' first values come from torch's generator. A layer `x` that gets some is `x.base_layer` from now on.

    Raises:
        ValueError: peft is not there, or a name names no layer that takes adapters; one line.
    """
    peft = _peft()
    layers = [name for name, part in parts(net) if _takes(part) and not _inside_attention(net, name)]
    targets = lora.target_modules or _usual(net, layers)
    for target in targets:
        if not any(_ends(name, target) for name in layers):
            raise ValueError(
                f"lora.target_modules: '{target}' names no layer that takes adapters; {_near(target, layers)}"
            )
    chosen = [name for name in layers if any(_ends(name, target) for target in targets)]
    config = peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.inject_adapter_in_model(config, net)


def adapters(net: nn.Module) -> dict[str, Tensor]:
    """The adapters' parameters by name; none where the network has no adapters."""
    return {name: p for name, p in net.named_parameters() if _is_adapter(name)}


def merged(net: nn.Module) -> dict[str, Tensor]:
    """The weights that a network without adapters needs to compute the same, by that network's own names."""
    found = copy.deepcopy(net)
    for part in found.modules():
        if hasattr(part, "base_layer"):
            layer: Any = part
            layer.merge()
    state: Mapping[str, Tensor] = found.state_dict()
    return {name.replace(".base_layer.", "."): t for name, t in state.items() if not _is_adapter(name)}


def drop_out(net: nn.Module, *, training: bool) -> None:
    """Whether the adapters' dropout acts."""
    for name, part in parts(net):
        if name.rpartition(".")[2] == f"{MARK}dropout":
            part.train(training)


def _peft() -> Any:
    try:
        import peft
    except (ImportError, RuntimeError, OSError) as error:  # all but the first: of what it imports
        raise ValueError(f"lora: peft cannot be imported ({short(error)}); {EXTRA}") from error
    return peft


def _takes(part: nn.Module) -> bool:
    """Whether peft makes adapters of such a layer: also of GPT-2's kind of linear layer."""
    return isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d) or type(part).__name__ == "Conv1D"


def _inside_attention(net: nn.Module, name: str) -> bool:
    """Whether torch's own attention reads the layer's weight without calling it."""
    return isinstance(net.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention)


def _usual(net: nn.Module, layers: list[str]) -> tuple[str, ...]:
    from peft.utils import constants

    known: Any = constants
    kind = str(getattr(getattr(net, "config", None), "model_type", type(net).__name__))
    found = known.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(kind)
    if not found:
        raise ValueError(f"lora.target_modules: peft knows no usual ones of '{kind}'; write some, {_near('', layers)}")
    return tuple(found)


def _near(target: str, layers: list[str]) -> str:
    return near(target, list(dict.fromkeys(name.rpartition(".")[2] for name in layers)))


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _is_adapter(name: str) -> bool:
    return f".{MARK}" in name
