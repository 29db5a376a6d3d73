"""How mappings and their backbone are trained: options of the generator `mapping` and of methods that have one."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from raysim.generators.base import Count, Weight
from raysim.method import Adam, Optimizer


class Settings(BaseModel):
    """How mappings and their backbone are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    map_hidden: Count = Field(default=512, description="Hidden width of the mappings.")
    mapping: StrictBool = Field(default=True, description="False decodes the source's latent unmapped (ablation).")
    alpha: Literal[0, 1] = Field(default=0, description="1 adds the divergence of the mapped posterior (eq. 5).")
    moments: Weight = Field(
        default=0.0, description="Weight of the squared gaps between mapped and real means and deviations; 0: none."
    )
    source_latent: Literal["mean", "sample"] = Field(
        default="mean", description="What a mapping is trained on: the source's posterior mean, or draws (eq. 4)."
    )
    held_back: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        default=0.2, description="Share of a client's pairs that judge its mappings and train none, at most 2,048."
    )
    patience: Count = Field(
        default=10,
        description="Rounds after which a mapping that gets no better stays, where generator and decoders stay.",
    )
    staging: Literal["joint", "llava"] = Field(
        default="joint",
        description="llava: in the second half of mapping_epochs the decoders are trained, too (pre-trained ones "
        "as well), all at a tenth of the learning rate; joint: the mappings alone.",
    )
    source: Literal["mean", "first"] = Field(
        default="mean", description="With more than two modalities: the mean over those available, or the first."
    )
    pretrain_rounds: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Rounds of stage 1 alone before all others; then it is left out (see fixed)."
    )
    fixed: StrictBool = Field(
        default=True,
        description="Whether a pre-trained generator stays as it is; false: stage 1 goes on in all rounds.",
    )
    generator_weights: str | None = Field(
        default=None,
        description="Path of a safetensors file, the same on all machines, that the generators start from, with "
        "gen.<modality>.encoder/<tensor> and gen.<modality>.decoder/<tensor>; stage 1 is left out (see fixed).",
    )
    generator_epochs: Count = Field(default=1, description="Epochs of the generator, or backbone, a round.")
    mapping_epochs: Count = Field(default=1, description="Epochs of the mappings a round.")
    generator_optimizer: Optimizer = Field(
        default=Adam(name="adam", lr=1e-3), description="The generator's, or backbone's."
    )
    mapping_optimizer: Optimizer = Field(default=Adam(name="adam", lr=1e-3), description="The mappings'.")

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.staging == "llava" and self.mapping_epochs < 2:
            raise ValueError("staging llava halves mapping_epochs, which is 1; write 2 or more")
        return self
