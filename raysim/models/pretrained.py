"""Encoders that begin with published weights: ResNet-50 for images and BERT for text, as FIN trains them end to end.

They are other libraries' networks and take no client axis, so clients are trained one after another.
Source: Poudel et al., "Multimodal Federated Learning With Missing Modalities through Feature Imputation Network", 2025,
section 3: a pooled vector of 2,048, or the first token's vector of 768, then a linear layer.

Shapes: B batch, C channels, T steps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from raysim.data.dataset import Modality
from raysim.models.encoder import Encoder, within
from raysim.models.layers import Linear
from raysim.scenario.model import Encoder as Spec
from raysim.scenario.model import Model


class Resnet50(Encoder):
    """torchvision's ResNet-50 with its pooled output: one token."""

    selective = True
    published = ("net.*",)

    def __init__(self, modality: Modality, spec: Spec, model: Model) -> None:
        from raysim.features._torchvision import DEVIATION, MEAN, network

        super().__init__(model)
        self.net = network("resnet50", "fc", spec.weights or "imagenet")
        self.project = Linear(2048, model.dim)
        self._mean, self._deviation = MEAN, DEVIATION
        if modality.shape[0] not in (1, 3):
            raise ValueError(f"encoder 'resnet50' takes images of 1 or 3 channels, not {modality.shape[0]}")

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, C, height, width) in [0, 1] -> (B, 1, dim). Grey images become three equal channels."""
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (self._mean, self._deviation))
        return self.project(self.net((x - mean) / deviation)).unsqueeze(-2)


class Bert(Encoder):
    """A BERT of Hugging Face's transformers, its first token's vector: one token."""

    selective = True
    published = ("net.*",)

    def __init__(self, modality: Modality, spec: Spec, model: Model) -> None:
        super().__init__(model)
        assert modality.vocabulary is not None, "tokens have a vocabulary"
        self.net = _bert(spec.weights or "bert-base-uncased", modality.vocabulary)
        self.project = Linear(self.net.config.hidden_size, model.dim)
        limit = self.net.config.max_position_embeddings
        if modality.shape[0] > limit:
            raise ValueError(f"encoder 'bert' takes {limit} tokens, the data has up to {modality.shape[0]}; cut them")

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T) integers -> (B, 1, dim)."""
        steps = x.shape[-1]
        valid = torch.ones_like(x, dtype=torch.bool) if lengths is None else within(lengths, steps)
        found = self.net(input_ids=x, attention_mask=valid.long()).last_hidden_state
        return self.project(found[..., 0, :]).unsqueeze(-2)


def _bert(weights: str, vocabulary: int) -> Any:
    """The model; with random weights one of two layers."""
    import transformers

    from raysim.features._language import loaded

    library: Any = transformers
    if weights == "random":
        config = library.AutoConfig.for_model("bert", vocab_size=vocabulary, num_hidden_layers=2)
        return library.AutoModel.from_config(config)
    _, model = loaded(weights)
    if (known := len(model.get_input_embeddings().weight)) < vocabulary:
        raise ValueError(
            f"encoder 'bert' knows {known} tokens, the data has {vocabulary}: prepare it with the model's own tokenizer"
        )
    return model.float()


BUILDERS: dict[str, Callable[[Modality, Spec, Model], Encoder]] = {"resnet50": Resnet50, "bert": Bert}
