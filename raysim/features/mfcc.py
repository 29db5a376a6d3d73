"""Mel-frequency cepstral coefficients (T, coefficients) of a recording, by librosa."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from raysim.data.dataset import Array
from raysim.features.log_mel import LogMel


class Mfcc(LogMel):
    """A cosine transform of the bands that `log_mel` gives."""

    class Options(LogMel.Options):
        """What may be chosen."""

        coefficients: Annotated[int, Field(ge=1)] = Field(default=20, description="At most as many as bands.")

        @model_validator(mode="after")
        def _enough_bands(self) -> Self:
            if self.coefficients > self.bands:
                raise ValueError(f"coefficients is {self.coefficients}, but there are {self.bands} bands; raise bands")
            return self

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """The first coefficients of each frame."""
        import librosa

        n: int = self.options.coefficients
        bands = [self.bands(sound).T * (10 / np.log(10)) for sound in media]  # decibels, as librosa has them
        return [librosa.feature.mfcc(S=b, n_mfcc=n).T.astype(np.float32) for b in bands]
