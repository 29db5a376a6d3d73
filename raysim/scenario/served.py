"""Evaluation that says who is served: clients' own rows, and what is given of a sample at test time."""

from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Strict, StrictInt, StrictStr, Tag

from raysim.scenario.optimizer import Optimizer
from raysim.scenario.section import Count, Rate, Section


class Personalise(Section):
    """How each client fine-tunes what it would predict with, before it is judged once more."""

    epochs: Count = Field(description="Passes over its training rows.", examples=["1"])
    optimizer: Optimizer | None = Field(
        default=None,
        description="null: the federation's. Its rate stays as it starts, and no algorithm corrects it.",
    )


class ClientRows(Section):
    """Training rows that every client keeps for itself, to be judged by the networks with which it would predict.

    These are the global ones, and of a method whose predictions ask for networks that stay with clients, its own. Of
    such a method there are no other scores, nor predictions that are kept, and the best round is that of the best mean
    over clients of `evaluation.metric` on validation rows. A client that has not trained yet has its own networks as
    they started.

    They leave training and keep what is the client's own: the modalities that `missing` leaves (where these change, in
    the first period), hidden parts and feature noise; their labels are clean. The server's public samples and samples
    without a label are never among them, nor are those that are left with nothing. Where features are scaled, by
    client or by all training samples, they count as the rows that they were.
    """

    share: Annotated[float, Strict(), Field(gt=0.0, lt=1.0)] = Field(
        default=0.2,
        description="Of each client's rows, drawn by seed and client and by class as far as that goes: half of them "
        "for validation and half for test, at least one each. A client with fewer than three rows, or without anything "
        "left to train on, keeps none, which is counted.",
    )
    most: Count | None = Field(
        default=None, description="Only so many clients are judged, drawn once by seed; null: all. All keep rows."
    )
    every_rounds: Count | None = Field(
        default=None,
        description="Of the rounds that are evaluated, those that this divides, and the last; null: all. The reported "
        "round's figures are there in any case.",
    )
    personalise: Annotated[StrictInt, Field(ge=0)] | Personalise = Field(
        default=0,
        description="Epochs, or {epochs, optimizer}: before its test rows are judged once more, each client fine-tunes "
        "the task model (or what the method's own hook says) on its training rows, for that judgement alone: nothing "
        "of it enters training. Reported as test_personal beside test. It costs about what so many epochs of a round "
        "of all judged clients do, each time that clients are judged; every_rounds makes it seldom, and then it is "
        "only there where the reported round was among these.",
    )

    @property
    def tuning(self) -> Personalise | None:
        """What is fine-tuned; None where nothing is."""
        said = self.personalise
        return said if isinstance(said, Personalise) else Personalise(epochs=said) if said else None


class Only(Section):
    """Just these modalities are left of every evaluated sample, as far as it has them."""

    only: tuple[StrictStr, ...] = Field(min_length=1, description="What is left.", examples=["[text]"])


def _form(value: Any) -> str:
    """Which of its forms what is hidden at test time has."""
    if isinstance(value, dict):
        left = cast(dict[str, Any], value).get("only")
        return "rates" if left is None or isinstance(left, int | float) else "only"
    return "only" if isinstance(value, Only) else "word" if isinstance(value, str) else "rate"


MissingAtTest = Annotated[
    Annotated[Literal["none", "same", "roles"], Tag("word")]
    | Annotated[Rate, Tag("rate")]
    | Annotated[dict[str, Rate], Tag("rates")]
    | Annotated[Only, Tag("only")],
    Discriminator(_form),
]
"""What is hidden of evaluated samples."""
