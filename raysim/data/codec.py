"""What the token ids of a modality mean: text to ids and back."""

import json
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

    @cached_property
    def pad(self) -> int:
        """The id that stands after a text's end: that of the tokenizer, or 0. Needs no extra."""
        padding = json.loads(self.json).get("padding")
        return 0 if padding is None else int(padding["pad_id"])

    @cached_property
    def end(self) -> int | None:
        """The id that marks a text's end, the last one of an empty text; None where there is none."""
        empty = real(self.tokenizer.encode(""))
        return empty[-1] if empty else None

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The ids of each text, without padding; never empty: nothing at all is the one token 0."""
        return [np.array(real(one) or [0], dtype=np.int64) for one in self.tokenizer.encode_batch(list(texts))]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""
        return self.tokenizer.decode([int(i) for i in ids])

    def caption(self, ids: Sequence[int]) -> str:
        """The same up to the mark of its end, for texts that were generated, of as many ids as there are positions."""
        ids = [int(i) for i in ids]
        return self.decode(ids[: ids.index(self.end)] if self.end in ids else ids)


def real(encoding: Any) -> list[int]:
    """The ids of one of the tokenizer's encodings, without padding."""
    return [i for i, there in zip(encoding.ids, encoding.attention_mask, strict=True) if there]
