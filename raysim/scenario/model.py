"""The task model."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Strict, StrictBool, StrictStr, Tag, model_validator

from raysim.scenario.section import OWN, Auto, BelowOne, Component, Count, Positive, Rate, Section, by_name, named

Freeze = Annotated[
    StrictBool | tuple[StrictStr, ...] | None,
    Field(
        description="What is never trained: true for all (of whole networks of other libraries all but the layer that "
        "raysim adds), or globs of tensors' names. It travels once to each client and has no optimiser state; norms "
        "and dropout in it evaluate.",
        examples=["[net.0.*]"],
    ),
]


class Encoder(Section):
    """The encoder of one modality; what is left out follows from the modality's kind."""

    name: Literal["cnn", "conv_gru", "gru", "mlp", "embedding_gru", "resnet50", "bert"] | Auto = "auto"
    channels: tuple[Count, ...] | None = Field(default=None, description="Convolution widths.")
    hidden: tuple[Count, ...] | None = Field(
        default=None,
        description="Widths of the hidden layers before the last: linear ones of mlp (null: one, as wide as dim) and "
        "cnn, recurrent ones of the others.",
    )
    weights: StrictStr | None = Field(
        default=None, description="Of resnet50 and bert: a name or a path; random; null: the published ones."
    )
    freeze: Freeze = None


class Lora(Section):
    """Low-rank adapters: a layer's weight W stays, and W + (alpha / rank) B A is used, of which A and B learn."""

    rank: Count = Field(default=8, description="Rows of A, columns of B.")
    alpha: Positive = Field(default=16.0, description="How much adapters weigh: their product times alpha / rank.")
    dropout: BelowOne = Field(default=0.0, description="Of what adapters read, while training.")
    target_modules: Annotated[tuple[StrictStr, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Layers that get adapters, by name or by its end; null: those that peft has for the architecture "
        "(of BERT query and value), where it has any.",
        examples=["[query, value]"],
    )


_LORA: Any = Field(
    default=None,
    description="Adapters {rank, alpha, dropout, target_modules} are trained in place of the network's weights, which "
    "are frozen, and whose dropout does not act; needs peft.",
    examples=["{rank: 8}"],
)
_DIGEST: Any = Field(
    default=None, description="The files' checksum, filled in when a scenario is read; one that is written must fit."
)


class Transformers(Section):
    """A network of Hugging Face's transformers, for tokens or images, then a linear layer: one token."""

    name: Literal["transformers"]
    model: StrictStr | None = Field(
        default=None,
        description="A folder with config.json and model.safetensors, relative to the scenario's folder (in --set to "
        "the current one), or a name on the hub, which is downloaded before anything starts.",
    )
    revision: StrictStr | None = Field(
        default=None, description="Of a network on the hub: a commit or a branch; null: the one in the cache, or main."
    )
    config: dict[str, Any] | None = Field(
        default=None,
        description="In place of a model: what its config.json would say, for a network that begins at random.",
    )
    take: Literal["cls", "mean"] = Field(
        default="cls", description="The first token's vector, or the mean over all valid ones."
    )
    mean: tuple[float, ...] | None = Field(
        default=None, description="Of images, by channel; null: what preprocessor_config.json says, else 0.5."
    )
    deviation: tuple[float, ...] | None = Field(default=None, description="Likewise.")
    freeze: Freeze = None
    lora: Lora | None = _LORA
    digest: StrictStr | None = _DIGEST

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.model is None) == (self.config is None):
            raise ValueError(
                "needs a model, or a config for one that begins at random; write for example model: FOLDER"
            )
        return self


class Torchvision(Section):
    """One of torchvision's classifiers without its last layer, for images, then a linear layer: one token."""

    name: Literal["torchvision"]
    model: StrictStr = Field(description="As torchvision has it.", examples=["resnet18"])
    weights: StrictStr | None = Field(
        default=None,
        description="The file of a state dict, relative to the scenario's folder (in --set to the current one); "
        "DEFAULT: torchvision's own, which are downloaded before anything starts; null: they begin at random.",
    )
    freeze: Freeze = None
    lora: Lora | None = _LORA
    digest: StrictStr | None = _DIGEST


Whole = Transformers | Torchvision
"""Whole networks of other libraries, by name."""


class OwnEncoder(Component):
    """An encoder of one's own: a torch module, with what its constructor takes beside the name."""

    freeze: Freeze = None


AnyEncoder = Annotated[
    Annotated[Encoder, Tag("listed")]
    | Annotated[Transformers, Tag("transformers")]
    | Annotated[Torchvision, Tag("torchvision")]
    | Annotated[OwnEncoder, Tag("own"), OWN],
    by_name("encoder", OwnEncoder, ("transformers", "torchvision")),
    BeforeValidator(named),
]


Degrees = Annotated[float, Strict(), Field(ge=0.0, le=180.0)]


class Augment(Section):
    """Random changes of training images."""

    flip: Rate = Field(default=0.0, description="Probability of a mirrored image.")
    rotate_deg: Degrees = Field(default=0.0, description="Largest angle by which images are turned, to either side.")


class OwnAugment(Component):
    """An augmentation of one's own: a function, with what it takes beside the inputs (`raysim.training.augment`)."""

    flip: Rate = Field(default=0.0, description="Of images, before it: see flip.")
    rotate_deg: Degrees = Field(default=0.0, description="Of images, before it: see rotate_deg.")


AnyAugment = Annotated[
    Annotated[Augment, Tag("listed")] | Annotated[OwnAugment, Tag("own"), OWN],
    by_name("augmentation", OwnAugment),
    BeforeValidator(named),
]


MODEL = "model.safetensors"
"""The file in a trial's folder that has its networks."""
PREDICTIONS = "predictions.npz"
"""The file there that has what it predicted for the test samples."""
CODE = "code"
"""The folder there that has copies of the code that is not raysim's."""
CLIENTS = "private.npz"
"""The file there that has the clients' own."""


class Start(Section):
    """Networks begin with the weights that a finished trial kept."""

    path: StrictStr = Field(
        min_length=1,
        description="A trial's folder, or a model.safetensors. Relative to the scenario's folder, in --set to the "
        "current one.",
    )
    groups: Annotated[tuple[StrictStr, ...], Field(min_length=1)] = Field(
        default=("*",), description="Which networks do, of those that both have.", examples=["[task.image]"]
    )
    digest: StrictStr | None = Field(
        default=None,
        description="The file's checksum, filled in when a scenario is read; one that is written must fit.",
    )


def _path(value: Any) -> Any:
    """A path is short for the section with it alone."""
    return {"path": value} if isinstance(value, str) else value


class ConcatFusion(Section):
    """The mean over each modality's tokens, concatenated."""

    name: Literal["concat"] = "concat"


class AttentionFusion(Section):
    """Attention over all modalities' tokens (FedRecon eq. 6; FedMultimodal's fuse_base)."""

    name: Literal["attention"]
    heads: Count = Field(default=6, description="Context vectors; their sums are concatenated.")
    hidden: Count = Field(default=512, description="Width of the tanh layer before the logits.")


ListedFusion = Annotated[ConcatFusion | AttentionFusion, Field(discriminator="name")]


class OwnFusion(Component):
    """A fusion of one's own: a torch module, with what its constructor takes beside the name."""


Fusion = Annotated[
    Annotated[ListedFusion, Tag("listed")] | Annotated[OwnFusion, Tag("own"), OWN],
    by_name("fusion", OwnFusion),
    BeforeValidator(named),
]


class Head(Section):
    """The classifier, or regressor, after the fusion."""

    hidden: Count | None = Field(default=64, description="Width of the hidden layer; null for a linear head.")
    dropout: BelowOne = Field(default=0.1, description="Before the last layer.")
    loss: Literal["mse", "l1", "huber"] | None = Field(
        default=None,
        description="Of a regression: squared errors (null: these), absolute ones, or Huber's, which are squared up to "
        "1 and absolute from there; classes have cross-entropy.",
    )


class Model(Section):
    """The task model: an encoder a modality, a fusion, a head."""

    dim: Count = Field(default=64, description="Width of every encoder's output.")
    encoders: dict[str, AnyEncoder] = Field(
        default_factory=dict[str, Encoder | Transformers | Torchvision | OwnEncoder],
        description="By modality; the default follows from its kind.",
    )
    augment: dict[str, AnyAugment] = Field(
        default_factory=dict[str, Augment | OwnAugment],
        description="Random changes of training inputs by modality: of images {flip: 0.5, rotate_deg: 15} (FIN's), of "
        "all kinds package.module:function.",
    )
    fusion: Fusion = Field(default=ConcatFusion(), description="How what encoders make of a sample becomes one vector.")
    head: Head = Head()
    dropout: BelowOne = Field(default=0.1, description="Inside the encoders.")
    normalize: StrictBool = Field(default=False, description="Embeddings are scaled to unit length (FIN).")
    start: Annotated[Start | None, BeforeValidator(_path)] = Field(
        default=None, description="A kept model that networks begin with; null: they begin at random."
    )
