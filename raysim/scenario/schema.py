"""The scenario: one experiment as frozen, typed data. Imports neither torch nor ray.

Every field says what it is for; the same prose is shown by editors and error messages.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import (
    BeforeValidator,
    Field,
    Strict,
    StrictBool,
    StrictInt,
    StrictStr,
)

from raysim.scenario.clients import Labels, Missing, NothingMissing, Partition
from raysim.scenario.generation import Generation
from raysim.scenario.model import Model
from raysim.scenario.optimizer import Optimizer, Sgd
from raysim.scenario.section import Auto, Component, Count, Named, NonNegative, Positive, Section
from raysim.scenario.served import ClientRows, MissingAtTest

Compat = Literal["fedmultimodal"] | None
METRICS = ("accuracy", "uar", "macro_f1", "macro_auc")
"""What is measured unless a scenario says otherwise."""


class Metric(Component):
    """A metric: a function of scores and labels, with what it takes besides beside the name."""

    higher_is_better: StrictBool | None = Field(
        default=None, description="null: as the function's attribute of that name says, or else true."
    )
    label: StrictStr | None = Field(
        default=None,
        min_length=1,
        description="What it is called in results; null: as its function. So one metric may be there twice.",
    )

    @staticmethod
    def of(metric: "str | Metric") -> "Metric":
        """A metric that a scenario names, alone or in a mapping."""
        return metric if isinstance(metric, Metric) else Metric(name=metric)


def _alone(value: Any) -> Any:
    """A mapping with nothing but a name is that name."""
    said: Any = cast("dict[str, Any]", value) if isinstance(value, dict) else value
    return said["name"] if isinstance(said, dict) and said.keys() == {"name"} else said  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


AnyMetric = Annotated[StrictStr | Metric, BeforeValidator(_alone), Field(json_schema_extra={"component": "metric"})]


def metric_label(metric: Any) -> str:
    """What a metric, as the scenario or its plain data have it, is called in results: its function's name."""
    said: Any = metric.model_dump() if isinstance(metric, Metric) else metric
    plain: dict[str, Any] = cast("dict[str, Any]", said) if isinstance(said, dict) else {"name": said}
    return str(plain.get("label") or plain["name"]).rpartition(":")[2]


LOSS = "loss"
"""What a method is judged by that predicts no classes, in place of a metric."""


class Checkpoint(Section):
    """How often a trial's whole state is written, so that whatever dies it goes on from there. Changes no bit."""

    every_rounds: Count | Literal["auto", "never"] = Field(
        default="auto", description="auto: about every ten seconds, less often where that would cost over 2 percent."
    )
    keep: Count = Field(default=2, description="The newest ones that stay; one that is damaged has another before it.")
    at_end: StrictBool = Field(
        default=False,
        description="One is written after the last round, and they stay when the trial is finished, so that --resume "
        "with more federation.rounds goes on from there.",
    )


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
    batch_size: Count = Field(default=16, description="Samples of a client in one step.")
    optimizer: Optimizer = Field(default=Sgd(), description="How clients take their steps.")
    algorithm: Named = Field(
        default=Component(name="fedavg"),
        description="How the server takes what clients send.",
        json_schema_extra={"component": "algorithm"},
    )
    checkpoint: Checkpoint = Checkpoint()
    faults: Faults = Faults()


class Evaluation(Section):
    """What is measured, when, and which round counts."""

    every_rounds: Count = Field(default=1, description="The last round is always evaluated.")
    metrics: tuple[AnyMetric, ...] = Field(
        default=METRICS,
        min_length=1,
        description="By name (`raysim list metrics`), or functions of one's own (scores, labels) -> number or null, as "
        "package.module:function.",
    )
    select: Literal["best", "last"] = Field(
        default="best", description="Which round is reported: best on validation, or last."
    )
    metric: StrictStr = Field(default="accuracy", description="What best means: one of the metrics.")
    missing: MissingAtTest = Field(
        default="none",
        description="Modalities hidden at test time, one draw a sample: none; the same as in training (rate, roles, "
        "what a file or a function says, parts); a rate, or one by modality, {image: 0.5}; roles: each sample has what "
        "one of the training's roles has, drawn in proportion to their clients; or all but those that are named, "
        "{only: [text]}.",
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
    keep_model: Literal["best", "last", "none"] = Field(
        default="best",
        description="Which networks a finished trial keeps in model.safetensors: those of the reported round, of the "
        "last one, or none.",
    )
    keep_private: StrictBool = Field(
        default=False,
        description="Whether the clients' own groups, which no server sees, are kept, too, in private.npz: of the last "
        "round, so with keep_model: last.",
    )
    keep_model_mb: Positive = Field(default=1000.0, description="Larger models are not kept, which a warning says.")
    clients: ClientRows | None = Field(
        default=None,
        description="Rows of its own that every client keeps, so that scores say who is served; null: none.",
        examples=["{share: 0.2}"],
    )
    subsets: Literal["all", "singles", "none"] = Field(
        default="none",
        description="The reported round's test scores by which modalities a sample is given: singles: each one alone, "
        "and all; all: every subset of up to five modalities, of more the singles, pairs, all but one, and all. A "
        "sample that lacks one of a subset by nature is left out of it. What a method makes of what it is given is its "
        "own matter: one that looks at a single modality predicts from nothing where that is not given, and a bound "
        "that undoes what is hidden sees all in each.",
    )
    predictions: StrictBool = Field(
        default=True,
        description="Whether a finished trial keeps what it predicted for the test samples in the reported round, as "
        "float16 in predictions.npz: by them arms are compared on the same samples.",
    )
    predictions_mb: Positive = Field(
        default=20.0, description="Larger ones are not kept, which a warning says; checkpoints have them, too."
    )
    generation: Generation | None = Field(
        default=None, description="What is measured of a generator; null: nothing, and only methods with one may ask."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """What the metrics are called in results."""
        return tuple(map(metric_label, self.metrics))

    @property
    def decisive(self) -> str:
        """The one that tells the best round, as it is called in results."""
        return metric_label(self.metric)


class Numerics(Section):
    """What decides bits. Part of a trial's identity."""

    stack: Count | Auto = Field(
        default="auto",
        description="Clients trained together in one computation, about; auto: half of a round, or fewer.",
    )
    threads: Count = Field(default=1, description="torch threads in each actor.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where networks are trained; auto: on GPUs where Ray has some."
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        default="float32",
        description="tf32: a GPU's matrix products in TensorFloat-32. bf16: networks compute in bfloat16, weights and "
        "updates stay float32.",
    )
    evaluation_batch: Count = Field(default=256, description="Samples predicted at once.")
    evaluation_device: Literal["same", "cpu"] = Field(
        default="same",
        description="Where networks are evaluated: where they are trained; or on CPUs, by actors of their own while "
        "GPUs train on, on nodes without GPUs where there are some.",
    )


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
    strategy: Literal["spread", "pack"] = Field(
        default="spread",
        description="spread: over all nodes; pack: the driver's node first, so that less goes over links.",
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
    description: StrictStr = Field(
        default="", description="What it is about; `raysim list scenarios` shows its first line."
    )
    seeds: Annotated[tuple[Annotated[StrictInt, Field(ge=0)], ...], Field(min_length=1)] = Field(
        default=(0,), description="Each makes a trial of its own, of which tables show mean and deviation."
    )
    dataset: Named = Field(
        description="Where the samples come from.", examples=["polydigits"], json_schema_extra={"component": "dataset"}
    )
    modalities: Annotated[tuple[StrictStr, ...], Field(min_length=1)] | None = Field(
        default=None, description="Which of the data's modalities take part; null: all."
    )
    partition: Partition = Field(description="Which samples each client owns.", examples=["{name: iid, clients: 10}"])
    public: Annotated[StrictInt, Field(ge=0)] | Annotated[float, Strict(), Field(gt=0.0, lt=1.0)] = Field(
        default=0,
        description="Complete training samples that the server keeps as its public set (CAR-MFL), and no client has: "
        "how many, or which share.",
    )
    feature_noise: NonNegative = Field(
        default=0.0,
        description="Feature skew of Li et al. 2022: client i of K has Gaussian noise of variance feature_noise i / K "
        "in its images, vectors and sequences, also in the rows of evaluation.clients; validation and test samples "
        "have none.",
    )
    missing: Missing = Field(default=NothingMissing(), description="Which modalities clients and samples lack.")
    labels: Labels = Labels()
    compat: Compat = Field(
        default=None,
        description="Reproduce a benchmark's own quirks: fedmultimodal seeds by the client's and the round's number, "
        "whatever the trial's seed, and has its own forms of FedProx, FedRS and SCAFFOLD.",
    )
    model: Model = Model()
    method: Named = Field(
        description="What copes with missing modalities.",
        examples=["zero_fill"],
        json_schema_extra={"component": "method"},
    )
    federation: Federation = Field(description="How clients and server work together.", examples=["{rounds: 20}"])
    evaluation: Evaluation = Evaluation()
    numerics: Numerics = Numerics()
    placement: Placement = Placement()
    tracking: tuple[Annotated[Named, Field(json_schema_extra={"component": "tracker"})], ...] = Field(
        default=(),
        description="Trackers that are told of each trial: tensorboard, mlflow, wandb, trackio. Changes no bit.",
        examples=["[tensorboard]"],
    )
