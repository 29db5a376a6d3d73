"""Your own features: one `.npz`, or a folder of `.npy` files; `raysim/data/arrays.py` describes the layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, StrictBool, StrictStr

from raysim.data.arrays import Reading, kinds, nbytes, read, shapes
from raysim.data.dataset import Dataset, Kind, Source
from raysim.data.headers import headers


class Arrays(Source):
    """A dataset from arrays on disk."""

    class Options(Reading):
        """Where the arrays are and how to read them."""

        path: StrictStr = Field(min_length=1, description="An .npz file, or a folder of .npy files.")
        task: Literal["classification", "regression"] = Field(
            default="classification", description="Whether y has classes or labels, or real numbers, taken as they are."
        )
        one_hot: StrictBool | None = Field(
            default=None,
            description="Whether rows of y with one 1 each are single classes (true), or several labels (false); null: "
            "they are refused.",
        )

    options: Options

    def load(self) -> Dataset:
        """Reads and checks the arrays.

        Raises:
            DataError: something is absent or malformed; names the file and the key.
        """
        return read(Path(self.options.path), self.options, regression=self.options.task == "regression")

    def kinds(self) -> Mapping[str, Kind] | None:
        """From the headers.

        Raises:
            DataError: there is no such file, or it is malformed.
        """
        headers(Path(self.options.path))
        return kinds(Path(self.options.path))

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Likewise."""
        return shapes(Path(self.options.path))

    def reads(self) -> int | None:
        """Likewise."""
        return nbytes(Path(self.options.path))
