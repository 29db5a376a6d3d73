"""What the engine says while it works. Sinks (terminal, files, exporters) render it; the engine prints nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from raysim.data.dataset import Array
from raysim.scenario.schema import LOSS


@dataclass(frozen=True)
class TrialInfo:
    """One trial as the sinks know it.

    Attributes:
        scenario: the scenario's name, which is also its folder.
        name: the trial's folder within it; unique there.
        seed: the trial's seed.
        grid: the grid values or the arm that make this trial, as text, in the grid's order.
        rounds: rounds that the trial will run, over all phases.
        select: `best` or `last`; metric: what best means.
        metrics: names of the metrics, in the order of the scenario; `loss` alone where a method predicts no classes.
        low: those of which less is better.
        conditions: equal for trials whose figures may be compared (`raysim.scenario.identity.conditions`).
    """

    scenario: str
    name: str
    seed: int
    grid: Mapping[str, str]
    rounds: int
    select: str
    metric: str
    metrics: tuple[str, ...]
    low: tuple[str, ...] = (LOSS,)
    conditions: str = ""


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Doing(Event):
    """What the study is about while no trial is under way, in a few words: `reading the data`."""

    text: str


@dataclass(frozen=True)
class StudyStarted(Event):
    """Before the first trial. `hardware` is one line: cores, GPUs, nodes; `slots` trials run at a time."""

    trials: tuple[TrialInfo, ...]
    out: str
    hardware: str
    slots: int = 1


@dataclass(frozen=True)
class StudyPlanned(Event):
    """What the study will take, as far as that is known without measuring; may come once it is under way.

    `lines` are its first lines in words, `plan` all of it as plain values (`raysim.planning.plan.Plan`).
    """

    lines: tuple[str, ...]
    plan: Mapping[str, Any]


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial begins, or goes on from a checkpoint.

    `plan` is one line: clients, actors, stack; `hidden` says what is missing in effect, and what clients keep for
    themselves, empty where nothing is. `done` are the records of the rounds before, without their clients; what was
    told of rounds after these does not count.
    """

    trial: TrialInfo
    index: int
    clients: int
    actors: int
    plan: str
    done: Sequence[Mapping[str, Any]] = ()
    hidden: str = ""

    @property
    def line(self) -> str:
        """The plan and what is missing."""
        return f"{self.plan}; {self.hidden}" if self.hidden else self.plan


@dataclass(frozen=True)
class RoundStarted(Event):
    """A round begins; the cohort's client ids are sorted."""

    trial: TrialInfo
    round: int
    phase: str
    cohort: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ClientsFinished(Event):
    """The local training of some clients is done: a column each, (R,).

    `loss` is a client's mean loss in the last stage that is open to all, NaN where it ran none; `seconds` its share of
    the unit's time.
    """

    trial: TrialInfo
    round: int
    clients: Array
    samples: Array
    loss: Array
    seconds: Array


@dataclass(frozen=True)
class RoundFinished(Event):
    """A round is aggregated and, where due, evaluated.

    `record` is the line of metrics.jsonl: `round`, `phase`, `cohort` (ids), `loss` (stage -> mean), `clients`
    (id, samples, steps, loss by stage, seconds_s), `bytes_up`, `bytes_down`, `train_s`, `overhead_s` (of it, while
    the busiest process does not train), `at_s` (when it was trained, since the trial began), `evaluate_s`, and where
    evaluated the splits `validation`, `test` (masked as the scenario says) and, when the test is masked,
    `validation_unmasked`, `test_unmasked`: metric -> value, plus `loss`, and `examined`: the method's own figures
    (`Method.examined`), subject -> figure -> value. Where generation is measured, `generation`: likewise, of
    `<given>+<given>><made>`, `><made>` from nothing, `>` of all that is made of nothing at once, and `all`
    (`raysim.generation.figures`). Where clients are judged by rows of their own, `by_client`: `validation` and `test`
    -> metric -> what it comes to over clients (`raysim.evaluation.clients.spread`), and `test_personal` likewise, by
    what each client fine-tunes for that. Where predictions ask for networks of clients' own, there is no more than
    that. Times end in `_s`.
    """

    trial: TrialInfo
    round: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class FeaturesTaken(Event):
    """Embeddings of the same N validation samples for every method of a seed, by the last round's networks.

    `arrays` has `labels` (N,) or (N, C), and for each modality `<modality>` (N, D), its embedding, and
    `<modality>.filled` (N, D), what the method puts in its place where it is hidden.
    """

    trial: TrialInfo
    arrays: Mapping[str, Any]


@dataclass(frozen=True)
class PicturesMade(Event):
    """Images and texts of the same n test samples, real and made by the networks of a measured round.

    `arrays` has uint8 (n, H, W, C), of texts str (n,): `real/<m>`, `<s>/<t>`, the modality t made of s alone, t itself
    among them, and `prior/<t>`, made of nothing.
    """

    trial: TrialInfo
    round: int
    arrays: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ClientsScored(Event):
    """C clients on the rows that they keep, by the networks of the reported round; comes before `TrialFinished`.

    `clients` (C,) are their numbers, `ids` (C,) what they are called in the data, None where they have no names, and
    `roles` the modalities that each has. `rows` are `validation` and `test` -> (C,) how many, `metrics` likewise ->
    name -> (C,), NaN where undefined.
    """

    trial: TrialInfo
    round: int
    clients: Array
    ids: Array | None
    roles: tuple[str, ...]
    rows: Mapping[str, Array]
    metrics: Mapping[str, Mapping[str, Array]]


@dataclass(frozen=True)
class ModelKept(Event):
    """The global networks of the round that the scenario wants kept; comes before `TrialFinished`.

    `data` is the content of a safetensors file (`raysim.training.kept`); `private` are the clients' own groups after
    the last round, where the scenario wants them: `<client>/<group>` -> (P,) float32.
    """

    trial: TrialInfo
    round: int
    data: bytes
    private: Mapping[str, Array] = field(default_factory=dict[str, Array])


@dataclass(frozen=True)
class PredictionsKept(Event):
    """What the reported round predicted for the test samples; comes before `TrialFinished`.

    `arrays` is as in `raysim.simulation.predicted`.
    """

    trial: TrialInfo
    round: int
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class TrialFinished(Event):
    """A trial is done.

    `summary` holds `round` (the reported one), `selected_by`, `splits` (split -> metric -> value at that round),
    `parameters`, `bytes_up`, `bytes_down`, `steps`, `skipped` (how often a client was left out), `bit_comparable`
    (False where a unit did not fit its device or was late), `hidden` (`training`, `validation`, `test` -> the effective
    missing rate), `lacking` (the same -> the share that the data itself lacks, where it lacks any), `teachers` (network
    that learns from samples with several modalities -> how many clients have any),
    `bound` (True where the method is one), `examined` (the method's own figures in the reported round), `by_client` (as
    in a round's record, of the reported one) with `clients` (`judged`, `without` any rows, `rows` kept and `of` how
    many; where they are judged by networks of their own also `own`, which these are, and how many clients are
    `untrained`, and `splits` is empty), `subsets` (modalities that are given, joined by `+` -> `rows` and `metrics` of
    test samples), `generation` (`round`, `figures` and the `judges`' accuracy, of the last round in which generation
    was measured), `seconds_s`, `checkpoint_s` (writing checkpoints),
    `origin` (versions, and checksums of the data and of code that is not raysim's).
    `earlier`: it was done before this run, and the summary was read from its file.
    """

    trial: TrialInfo
    summary: Mapping[str, Any]
    earlier: bool = False


@dataclass(frozen=True)
class TrialFailed(Event):
    """A trial ended in an error; the study goes on. `error` is one line, `details` the user's part of a traceback."""

    trial: TrialInfo
    error: str
    details: str = ""


@dataclass(frozen=True)
class CheckpointWritten(Event):
    """The trial can go on from here: after which round, bytes written and time taken."""

    trial: TrialInfo
    round: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Warned(Event):
    """Something that the user should know, about one trial or the study; stays visible."""

    text: str
    trial: TrialInfo | None = None


@dataclass(frozen=True)
class Printed(Event):
    """A line that an author's code printed in an actor: who that is, and how often it has come so far in the trial."""

    text: str
    who: str
    times: int = 1
    trial: TrialInfo | None = None


@dataclass(frozen=True)
class Resources(Event):
    """Use of the machine now; None where unknown. Fractions are 0 to 1, bytes are totals."""

    cpu: float | None = None
    gpu: float | None = None
    memory_bytes: int | None = None
    memory_capacity_bytes: int | None = None
    object_store_bytes: int | None = None
    object_store_capacity_bytes: int | None = None


@dataclass(frozen=True)
class StudyFinished(Event):
    """After the last trial, or when the user stopped. `then` is the command to go on, or to look again."""

    finished: int
    failed: int
    seconds: float
    interrupted: bool = False
    then: str = ""


class Sink(Protocol):
    """Something that renders events. Called by one thread, in order."""

    def handle(self, event: Event) -> None:
        """Takes one event; must be quick."""
        ...

    def close(self) -> None:
        """The study is over or was stopped; release the terminal and files."""
        ...
