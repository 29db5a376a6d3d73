"""What is measured of a generator."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from raysim.scenario.section import Count, Rate, Section


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
