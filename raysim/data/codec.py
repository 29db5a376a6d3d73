"""What the token ids of a modality mean: text to ids and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Codec:
    """A tokenizer of Hugging Face's `tokenizers`, as its own JSON text, so that it travels with the data.

    Attributes:
        json: `Tokenizer.to_str()`; a text is normalised, marked and cut as it says.
    """

    json: str

    @cached_property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`; needs the extra `text`."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.json)

    def __getstate__(self) -> dict[str, Any]:
        return {"json": self.json}

    @property
    def vocabulary(self) -> int:
        """How many different tokens there are."""
        return self.tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The ids of each text, without padding; never empty: nothing at all is the one token 0."""
        found: list[NDArray[np.int64]] = []
        for one in self.tokenizer.encode_batch(list(texts)):
            ids = [i for i, real in zip(one.ids, one.attention_mask, strict=True) if real]
            found.append(np.array(ids or [0], dtype=np.int64))
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""
        return self.tokenizer.decode([int(i) for i in ids])
