"""Which client has which samples, modalities and labels."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictStr, Tag

from raysim.scenario.section import OWN, BelowOne, Component, Count, Positive, Rate, Section, by_name, named


class Stored(Section):
    """Something that a file says: an `.npz`, such as every trial's partition.npz, or a CSV."""

    name: Literal["file"]
    path: Annotated[StrictStr, Field(pattern=r"\.(npz|csv|csv\.gz)$")] = Field(
        description="A partition.npz, or a CSV. Relative to the scenario's folder, in --set to the current one.",
        examples=["split.csv"],
        json_schema_extra={"phrase": "the path of a file in .npz, .csv or .csv.gz"},
    )
    digest: StrictStr | None = Field(
        default=None,
        description="The file's checksum, filled in when a scenario is read; one that is written must fit.",
    )


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


class Quantity(Section):
    """Quantity skew: sizes are proportions from a Dirichlet distribution, labels are alike (Li et al. 2022)."""

    name: Literal["quantity"]
    clients: Count = Field(description="Number of clients.", examples=["10"])
    alpha: Positive = Field(
        description="Concentration (the paper's beta): small makes few clients large, large makes all alike.",
        examples=["0.5"],
    )
    min_size: Count = Field(default=1, description="Redraw until every client has this many samples.")


class Pathological(Section):
    """Label skew: each client has samples of so many classes, and no others (Li et al. 2022).

    A class's samples are dealt in equal shares to the clients that have it; those of a class that no client has are
    left out.
    """

    name: Literal["pathological"]
    clients: Count = Field(description="Number of clients.", examples=["10"])
    classes_per_client: Count = Field(description="Classes that each client has.", examples=["2"])
    class_assignment_mode: Literal["first-deterministic", "random", "deterministic"] = Field(
        default="first-deterministic",
        description="Which, as Flower Datasets calls it: of C classes client i has number i mod C and random ones "
        "(the paper's way), random ones alone, or number i mod C and the next ones.",
    )


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


class StoredPartition(Stored):
    """A published split, or an earlier study's: a file says which client has which training samples.

    A CSV has the columns `row` (of the training samples, from 0) and `client` (any text); samples that it leaves out
    are nobody's. Clients come in ascending order of what the file calls them.
    """


ListedPartition = Annotated[
    Iid | Dirichlet | Quantity | Pathological | Natural | Shards | Groups | StoredPartition,
    Field(discriminator="name"),
]


class OwnPartition(Component):
    """A partition of one's own: a function, with what it takes beside the labels (`raysim.data.own`)."""


Partition = Annotated[
    Annotated[ListedPartition, Tag("listed")] | Annotated[OwnPartition, Tag("own"), OWN],
    by_name("partition", OwnPartition),
    BeforeValidator(named),
]


class HiddenParts(Section):
    """Parts of modalities that are hidden though the modality is there: zeros, fixed over the rounds.

    A part is a span of a sequence's or a text's steps, a patch of an image, a block of a vector's features.
    """

    rate: Rate | dict[str, Rate] = Field(
        description="Probability that a sample's modality loses a part; one for all, or by modality.", examples=["0.5"]
    )
    share: Rate | dict[str, Rate] = Field(
        description="How large the part is, of all steps, of the image's area or of all features; one for all, or by "
        "modality.",
        examples=["0.3"],
    )


_PARTS = Field(
    default=None,
    description="Parts of modalities that are hidden besides; with evaluation.missing: same also at test time.",
    examples=["{rate: 0.5, share: 0.3}"],
)


class Pattern(Section):
    """What every missing pattern may say."""

    parts: HiddenParts | None = _PARTS


class NothingMissing(Pattern):
    """Every client has every modality that the data has."""

    name: Literal["none"] = "none"


class PerClient(Pattern):
    """One Bernoulli draw for each (client, modality): a client lacks a modality in all its samples."""

    name: Literal["per_client"]
    rate: Rate | dict[str, Rate] = Field(
        description="Probability of lacking a modality; one for all, or by modality.", examples=["0.5"]
    )
    empty: Literal["drop", "keep_one"] = Field(
        default="keep_one",
        description="A client that would lose everything: left out, or keeps one modality drawn at random.",
    )


class Changing(Section):
    """Missing modalities that change between rounds, within what a client has at all.

    Which encoders a client trains and sends follows what it ever has, not what it has in a round.
    """

    every_rounds: Count = Field(description="Rounds for which a sample lacks the same.", examples=["5"])
    redraw: StrictBool = Field(
        default=True,
        description="Whether each period has draws of its own; false: the same, so that what is missing at a low rate "
        "is also missing at a higher one.",
    )
    rates: tuple[Rate | dict[str, Rate], ...] = Field(
        default=(),
        description="Of the periods after the first, which has `rate`; the last one stays. Classes of by_class keep "
        "theirs.",
        examples=["[0.3, 0.6]"],
    )


class PerSample(Pattern):
    """One Bernoulli draw for each (sample, modality); on top of one for each client, by class, changing over rounds."""

    name: Literal["per_sample"]
    rate: Rate | dict[str, Rate] = Field(
        description="Probability of lacking a modality; one for all, or by modality.", examples=["0.5"]
    )
    client_rate: Rate | dict[str, Rate] = Field(
        default=0.0,
        description="Probability that a client lacks a modality in all its samples, as per_client has it; `rate` is of "
        "what is left.",
    )
    by_class: dict[str, Rate | dict[str, Rate]] = Field(
        default_factory=dict[str, Rate | dict[str, Rate]],
        description="Classes with a rate of their own instead (missing not at random, Rubin 1976); of several labels "
        "the first counts.",
        examples=["{happy: 0.8, sad: {audio: 0.2}}"],
    )
    changing: Changing | None = Field(
        default=None,
        description="What changes between rounds, in training; null: nothing.",
        examples=["{every_rounds: 5}"],
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


class Roles(Pattern):
    """Explicit counts of clients by the modalities that they have (FIN's image : text : multimodal)."""

    name: Literal["roles"]
    roles: tuple[Role, ...] = Field(
        min_length=1,
        description="Counts must add up to the number of clients.",
        examples=["[{modalities: [image], clients: 4}]"],
    )


class StoredMissing(Stored, Pattern):
    """An earlier study's missing modalities, or anybody's: a file says which training samples have which modalities.

    A CSV has the column `row` (of the training samples, from 0) and for each modality one of 0 and 1. What the data
    lacks stays lacking. With `evaluation.missing: same` a partition.npz also says it of validation and test samples.
    """


ListedMissing = Annotated[NothingMissing | PerClient | PerSample | Roles | StoredMissing, Field(discriminator="name")]


class OwnMissing(Component):
    """A missing pattern of one's own: a function, with what it takes beside the mask (`raysim.data.own`)."""

    parts: HiddenParts | None = _PARTS


Missing = Annotated[
    Annotated[ListedMissing, Tag("listed")] | Annotated[OwnMissing, Tag("own"), OWN],
    by_name("missing", OwnMissing),
    BeforeValidator(named),
]


class Labels(Section):
    """Training labels that are wrong or missing (FedMultimodal); validation and test labels stay as they are."""

    noise: BelowOne = Field(default=0.0, description="Probability that a label is replaced by another class.")
    sparsity: BelowOne = Field(
        default=0.4, description="Share of the other classes that a class of a client never becomes."
    )
    missing: BelowOne = Field(default=0.0, description="Probability that a sample has no label and is left out.")
