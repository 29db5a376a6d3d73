"""The scenario: one experiment as frozen, typed data. Imports neither torch nor ray.

Every field says what it is for; the same prose is shown by editors and error messages.
"""

from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, StrictBool, StrictInt, StrictStr

Count = Annotated[StrictInt, Field(ge=1)]
Rate = Annotated[float, Strict(), Field(ge=0.0, le=1.0)]
BelowOne = Annotated[float, Strict(), Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Strict(), Field(gt=0.0)]
NonNegative = Annotated[float, Strict(), Field(ge=0.0)]
Auto = Literal["auto"]
Compat = Literal["fedmultimodal"] | None
Metric = Literal["accuracy", "uar", "macro_f1", "macro_auc"]
METRICS: tuple[Metric, ...] = get_args(Metric)
LOSS = "loss"
"""What a method is judged by that predicts no classes, in place of a metric."""


class Section(BaseModel):
    """A part of a scenario: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _named(value: Any) -> Any:
    """`zero_fill` is short for `{name: zero_fill}`."""
    return {"name": value} if isinstance(value, str) else value


class Component(Section):
    """Something found by name (a method, a dataset, an algorithm) with its own options beside the name.

    The name is a file's (`zero_fill`), an entry point's, or `package.module:Class`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    name: StrictStr = Field(min_length=1, description="A listed name, or package.module:Class.", examples=["NAME"])

    @property
    def options(self) -> dict[str, Any]:
        """All that the scenario says beside the name."""
        return dict(self.model_extra or {})


Named = Annotated[Component, BeforeValidator(_named)]


class Iid(Section):
    """Samples are dealt to clients at random, in equal shares."""

    name: Literal["iid"]
    clients: Count = Field(description="Number of clients.", examples=["10"])


class Dirichlet(Section):
    """Label skew: each class is divided over the clients by proportions from a Dirichlet distribution."""

    name: Literal["dirichlet"]
    clients: Count = Field(description="Number of clients.", examples=["10"])
    alpha: Positive = Field(description="Concentration: small is heterogeneous, large is even.", examples=["0.5"])
    min_size: Count = Field(default=1, description="Redraw until every client has this many samples.")


class Natural(Section):
    """The dataset's own clients (speakers, hospitals, videos)."""

    name: Literal["natural"]
    min_size: Count = Field(default=1, description="Clients with fewer samples are left out.")


class Shards(Section):
    """Samples sorted by label, cut into shards, some shards to a client (McMahan et al. 2017)."""

    name: Literal["shards"]
    clients: Count = Field(description="Number of clients.", examples=["10"])
    shards_per_client: Count = Field(default=2, description="Shards that each client gets.")


class Groups(Section):
    """Whole groups of samples (patients, speakers: the data's natural clients) are dealt to clients at random."""

    name: Literal["groups"]
    clients: Count = Field(description="Number of clients.", examples=["10"])
    groups_per_client: Count | None = Field(
        default=None, description="Groups that each client gets, others are left out; null: all, in equal shares."
    )


Partition = Annotated[Iid | Dirichlet | Natural | Shards | Groups, Field(discriminator="name"), BeforeValidator(_named)]


class NothingMissing(Section):
    """Every client has every modality that the data has."""

    name: Literal["none"] = "none"


class PerClient(Section):
    """One Bernoulli draw for each (client, modality): a client lacks a modality in all its samples."""

    name: Literal["per_client"]
    rate: Rate | dict[str, Rate] = Field(
        description="Probability of lacking a modality; one for all, or by modality.", examples=["0.5"]
    )
    empty: Literal["drop", "keep_one"] = Field(
        default="keep_one",
        description="A client that would lose everything: left out, or keeps one modality drawn at random.",
    )


class PerSample(Section):
    """One Bernoulli draw for each (sample, modality)."""

    name: Literal["per_sample"]
    rate: Rate | dict[str, Rate] = Field(
        description="Probability of lacking a modality; one for all, or by modality.", examples=["0.5"]
    )
    empty: Literal["drop", "keep_one"] = Field(
        default="keep_one",
        description="A sample that would lose everything: left out, or keeps one modality drawn at random.",
    )


class Role(Section):
    """Some clients that have just these modalities."""

    modalities: tuple[StrictStr, ...] = Field(
        min_length=1, description="What these clients have.", examples=["[image, text]"]
    )
    clients: Count = Field(description="How many clients.", examples=["4"])


class Roles(Section):
    """Explicit counts of clients by the modalities that they have (FIN's image : text : multimodal)."""

    name: Literal["roles"]
    roles: tuple[Role, ...] = Field(
        min_length=1,
        description="Counts must add up to the number of clients.",
        examples=["[{modalities: [image], clients: 4}]"],
    )


Missing = Annotated[
    NothingMissing | PerClient | PerSample | Roles, Field(discriminator="name"), BeforeValidator(_named)
]


class Labels(Section):
    """Training labels that are wrong or missing (FedMultimodal); validation and test labels stay as they are."""

    noise: BelowOne = Field(default=0.0, description="Probability that a label is replaced by another class.")
    sparsity: BelowOne = Field(
        default=0.4, description="Share of the other classes that a class of a client never becomes."
    )
    missing: BelowOne = Field(default=0.0, description="Probability that a sample has no label and is left out.")


class Encoder(Section):
    """The encoder of one modality; what is left out follows from the modality's kind."""

    name: Literal["cnn", "conv_gru", "gru", "mlp", "embedding_gru", "resnet50", "bert"] | Auto = "auto"
    channels: tuple[Count, ...] | None = Field(default=None, description="Convolution widths.")
    weights: StrictStr | None = Field(
        default=None, description="Of resnet50 and bert: a name or a path; random; null: the published ones."
    )


class Augment(Section):
    """Random changes of training images."""

    flip: Rate = Field(default=0.0, description="Probability of a mirrored image.")
    rotate_deg: Annotated[float, Strict(), Field(ge=0.0, le=180.0)] = Field(
        default=0.0, description="Largest angle by which images are turned, to either side."
    )


class ConcatFusion(Section):
    """The mean over each modality's tokens, concatenated."""

    name: Literal["concat"] = "concat"


class AttentionFusion(Section):
    """Attention over all modalities' tokens (FedRecon eq. 6; FedMultimodal's fuse_base)."""

    name: Literal["attention"]
    heads: Count = Field(default=6, description="Context vectors; their sums are concatenated.")
    hidden: Count = Field(default=512, description="Width of the tanh layer before the logits.")


Fusion = Annotated[ConcatFusion | AttentionFusion, Field(discriminator="name"), BeforeValidator(_named)]


class Head(Section):
    """The classifier after the fusion."""

    hidden: Count | None = Field(default=64, description="Width of the hidden layer; null for a linear head.")
    dropout: BelowOne = 0.1


class Model(Section):
    """The task model: an encoder a modality, a fusion, a head."""

    dim: Count = Field(default=64, description="Width of every encoder's output.")
    encoders: dict[str, Annotated[Encoder, BeforeValidator(_named)]] = Field(
        default_factory=dict[str, Encoder], description="By modality; the default follows from its kind."
    )
    augment: dict[str, Augment] = Field(
        default_factory=dict[str, Augment], description="By modality, for images; FIN: {flip: 0.5, rotate_deg: 15}."
    )
    fusion: Fusion = ConcatFusion()
    head: Head = Head()
    dropout: BelowOne = Field(default=0.1, description="Inside the encoders.")
    normalize: StrictBool = Field(default=False, description="Embeddings are scaled to unit length (FIN).")


def _tuple(value: Any) -> Any:
    """A list as a tuple, also where pydantic is strict: in a method's options."""
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    lr: Positive = Field(default=0.05, description="Learning rate.")
    momentum: BelowOne = 0.0
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = Field(default=None, description="Largest norm of a client's gradient.")


class Adam(Section):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""

    name: Literal["adam"]
    lr: Positive = Field(default=1e-3, description="Learning rate.")
    betas: Annotated[tuple[BelowOne, BelowOne], BeforeValidator(_tuple)] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = Field(default=None, description="Largest norm of a client's gradient.")
    persistent: StrictBool = Field(default=False, description="Moments stay with the client over the rounds (FIN).")


def _optimizer(value: Any) -> Any:
    """SGD where no name is given, so that `federation.optimizer.lr` can be set by itself."""
    value = _named(value)
    return {"name": "sgd", **cast(dict[str, Any], value)} if isinstance(value, dict) else value


Optimizer = Annotated[Sgd | Adam, Field(discriminator="name"), BeforeValidator(_optimizer)]


class Checkpoint(Section):
    """How often a trial's whole state is written, so that whatever dies it goes on from there. Changes no bit."""

    every_rounds: Count | Literal["auto", "never"] = Field(
        default="auto", description="auto: about every ten seconds, less often where that would cost over 2 percent."
    )
    keep: Count = Field(default=2, description="The newest ones that stay; one that is damaged has another before it.")


class Faults(Section):
    """What becomes of a round in which a client fails."""

    on_invalid: Literal["fail", "skip_client"] = Field(
        default="fail",
        description="A loss or update that is not finite, or an exploding one: the trial fails, or the round goes on "
        "without that client.",
    )
    on_timeout: Literal["fail", "retry", "skip_client"] = Field(
        default="fail",
        description="No answer within placement.unit_timeout_s: the trial fails, the work is done again in a new "
        "process, or the clients are tried one by one and the round goes on without those that are late again.",
    )


class Federation(Section):
    """How clients and server work together."""

    rounds: Count = Field(description="Communication rounds.", examples=["20"])
    clients_per_round: Count | Annotated[float, Strict(), Field(gt=0.0, lt=1.0)] | Literal["all"] = Field(
        default="all", description="A number of clients, a fraction below 1, or all."
    )
    local_epochs: Count = Field(default=1, description="Passes over a client's data a round.")
    batch_size: Count = 16
    optimizer: Optimizer = Sgd()
    algorithm: Named = Component(name="fedavg")
    checkpoint: Checkpoint = Checkpoint()
    faults: Faults = Faults()


class Generation(Section):
    """What is measured of a generator, on test samples that lack nothing, by networks that judge what it makes."""

    every_rounds: Count | None = Field(
        default=None, description="So many rounds apart, and after the last one; null: after the last one alone."
    )
    rows: Count = Field(default=1000, description="Test samples, drawn by the seed; at most all that lack nothing.")
    subsets: (
        Literal["singles", "all"]
        | Annotated[tuple[Annotated[tuple[StrictStr, ...], Field(min_length=1)], ...], Field(min_length=1)]
    ) = Field(
        default="singles",
        description="What is given: each modality alone, every subset that leaves something to be made, or lists of "
        "modalities.",
        examples=["[[m0], [m1, m2]]"],
    )
    draws: Literal["sample", "mean"] = Field(
        default="sample", description="What is decoded of the posterior: one draw a sample, as in MMVAE+, or its mean."
    )
    frechet: tuple[Literal["judge", "inception"], ...] = Field(
        default=("judge",),
        description="Fréchet distances to the real samples: on the judge's features, and for images on those of the "
        "2015 Inception network, which is the FID.",
    )
    retrieval: StrictBool = Field(
        default=False, description="Ranks of the right sample, by the likeness of codes of two modalities."
    )
    colours: Annotated[StrictInt, Field(ge=0)] = Field(
        default=0,
        description="Pictures of each of eight colours that are made of a caption naming it, for data with one image "
        "and one text, such as cub; MMVAE+ has 10; 0: none.",
    )
    bound: Annotated[StrictInt, Field(ge=0)] = Field(
        default=0, description="Draws a sample for the bound of the log-likelihood; 0: none."
    )
    prior_draws: Annotated[StrictInt, Field(ge=0)] = Field(
        default=1000, description="Samples made of nothing, by which joint coherence is told; 0: none."
    )
    pictures: Annotated[StrictInt, Field(ge=0)] = Field(
        default=8, description="Test samples of which images and texts, real and made, are kept at the end; 0: none."
    )
    judges: StrictBool = Field(
        default=True,
        description="Whether networks judge what is made; false, where test samples are of classes that nobody has "
        "seen: no coherence, and no Fréchet distance on their features.",
    )
    judge_epochs: Count = Field(
        default=10, description="Passes over the training samples in which a judge learns; more where they are few."
    )
    judge_floor: Rate = Field(
        default=0.9,
        description="Least accuracy of a judge on real test samples, below which its word means little and the trial "
        "stops; 0: any will do.",
    )


class Evaluation(Section):
    """What is measured, when, and which round counts."""

    every_rounds: Count = Field(default=1, description="The last round is always evaluated.")
    metrics: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    select: Literal["best", "last"] = Field(
        default="best", description="Which round is reported: best on validation, or last."
    )
    metric: Metric = Field(default="accuracy", description="What best means.")
    missing: Literal["none", "same"] | Rate = Field(
        default="none",
        description="Modalities hidden at test time, one draw a sample: none, the same rate as in training, or a rate.",
    )
    empty: Literal["keep_one", "drop", "predict"] | None = Field(
        default=None,
        description="A sample that would lose everything at test time: keeps one modality drawn at random, is left out "
        "of the scores, or is predicted from nothing; null: as `missing.empty` says, or else keep_one.",
    )
    features: Annotated[StrictInt, Field(ge=0)] = Field(
        default=0,
        description="Of so many validation samples the embeddings, real and as the method fills them in, are kept at "
        "the end, for pictures.",
    )
    generation: Generation | None = Field(
        default=None, description="What is measured of a generator; null: nothing, and only methods with one may ask."
    )


class Numerics(Section):
    """What decides bits. Part of a trial's identity."""

    stack: Count | Auto = Field(
        default="auto",
        description="Clients trained together in one computation, about; auto: a unit for each core or GPU share.",
    )
    threads: Count = Field(default=1, description="torch threads in each actor.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "tf32", "bf16"] = Field(
        default="float32",
        description="tf32: a GPU's matrix products in TensorFloat-32. bf16: networks compute in bfloat16, weights and "
        "updates stay float32.",
    )
    evaluation_batch: Count = Field(default=256, description="Samples predicted at once.")


class Placement(Section):
    """Where things run. Never changes a bit."""

    parallel_trials: Count | Auto = Field(
        default="auto", description="Trials that run side by side, each on client actors of its own."
    )
    actors: Count | Auto = Field(
        default="auto", description="Client actors of a trial: its share of the cores (GPU slots), at most the cohort."
    )
    clients_per_actor: Count | Auto = Field(
        default="auto", description="Clients that one actor hosts; 1 gives every client its own."
    )
    gpus_per_client: NonNegative | Auto = Field(
        default="auto", description="Fraction of a GPU that each client actor asks for."
    )
    max_failures: Annotated[StrictInt, Field(ge=0)] = Field(
        default=2, description="How often in a row the same work is done again after its process died or code raised."
    )
    unit_timeout_s: Positive = Field(default=600.0, description="Longest wait for one actor's round.")
    start_timeout_s: Positive = Field(default=120.0, description="Longest wait for actors to start.")


class Scenario(Section):
    """One experiment."""

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)] = Field(
        description="Also the name of the output folder.",
        examples=["my_experiment"],
        json_schema_extra={
            "phrase": "text of up to 100 letters, digits, '_', '-' and '.', starting with a letter or digit"
        },
    )
    description: StrictStr = ""
    seeds: Annotated[tuple[Annotated[StrictInt, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    dataset: Named = Field(description="Where the samples come from.", examples=["polydigits"])
    modalities: Annotated[tuple[StrictStr, ...], Field(min_length=1)] | None = Field(
        default=None, description="Which of the data's modalities take part; null: all."
    )
    partition: Partition = Field(description="Which samples each client owns.", examples=["{name: iid, clients: 10}"])
    public: Annotated[StrictInt, Field(ge=0)] | Annotated[float, Strict(), Field(gt=0.0, lt=1.0)] = Field(
        default=0,
        description="Complete training samples that the server keeps as its public set (CAR-MFL), and no client has: "
        "how many, or which share.",
    )
    missing: Missing = NothingMissing()
    labels: Labels = Labels()
    compat: Compat = Field(
        default=None,
        description="Reproduce a benchmark's own quirks: fedmultimodal seeds by the client's and the round's number, "
        "whatever the trial's seed, and has its own forms of FedProx, FedRS and SCAFFOLD.",
    )
    model: Model = Model()
    method: Named = Field(description="What copes with missing modalities.", examples=["zero_fill"])
    federation: Federation = Field(description="How clients and server work together.", examples=["{rounds: 20}"])
    evaluation: Evaluation = Evaluation()
    numerics: Numerics = Numerics()
    placement: Placement = Placement()
