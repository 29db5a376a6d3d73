"""Numbers of words or wordpieces (T,), and the codec that turns them into text again.

By default words: lower case without accents, each punctuation mark is one. Those that the training texts have
`min_count` times make the vocabulary; the others are <unk>. A text stands between <bos> and <eos>, which `max_tokens`
counts.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, StrictStr

from raysim.data.codec import Codec
from raysim.data.dataset import Array, DataError
from raysim.data.extractor import Extractor
from raysim.features._hub import quiet, short

MARKS = PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
FILE = "tokenizer.json"
UNLIMITED = 2**32 - 1


class Tokens(Extractor):
    """The marks <pad>, <unk>, <bos> and <eos> are 0 to 3, then words by falling count."""

    class Options(Extractor.Options):
        """What may be chosen."""

        tokenizer: StrictStr | None = Field(
            default=None,
            description="Null: words of the training texts; or a name on the Hugging Face hub, such as "
            f"bert-base-uncased, or a folder with {FILE}.",
        )
        max_tokens: Annotated[int, Field(ge=3)] = Field(default=128, description="What is longer is cut.")
        min_count: Annotated[int, Field(ge=1)] = Field(
            default=3, description="A word of the training texts that is rarer is unknown."
        )

    options: Options
    reads = "text"
    chunk = 4096
    parallel = False
    requires: ClassVar = {"tokenizers": "text"}

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._codec: Codec | None = None

    def fit(self, items: Iterable[str]) -> None:
        """Counts words, or loads a tokenizer.

        Raises:
            DataError: no word is frequent enough, or there is no such tokenizer.
        """
        name = self.options.tokenizer
        tokenizer = self._words(items) if name is None else _loaded(name)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.options.max_tokens)
        self._codec = Codec(tokenizer.to_str())

    def extract(self, media: Sequence[str]) -> Sequence[Array]:
        """What the codec makes of the texts."""
        assert self._codec is not None
        return self._codec.encode(media)

    @property
    def codec(self) -> str | None:
        """The tokenizer's JSON, after `fit`."""
        return None if self._codec is None else self._codec.json

    def _words(self, texts: Iterable[str]) -> Any:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

        tokenizer: Any = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        count = self.options.min_count
        trainer = trainers.WordLevelTrainer(
            vocab_size=UNLIMITED, min_frequency=count, show_progress=False, special_tokens=list(MARKS)
        )
        tokenizer.train_from_iterator(texts, trainer)
        if tokenizer.get_vocab_size() == len(MARKS):
            raise DataError(f"no word appears {count} times in the training texts; lower min_count")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A {END}", special_tokens=[(mark, MARKS.index(mark)) for mark in (BEGIN, END)]
        )
        return tokenizer


def _loaded(name: str) -> Any:
    """The tokenizer of a folder, or of the hub."""
    import huggingface_hub
    from tokenizers import Tokenizer

    hub: Any = huggingface_hub
    try:
        with quiet():
            path = Path(name) / FILE if Path(name).is_dir() else hub.hf_hub_download(name, FILE)
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain exceptions
        raise DataError(
            f"tokenizer: {name} cannot be loaded ({short(error)}); give a folder with {FILE}, --features "
            "text='{name: tokens, tokenizer: /path}', or null for the words of the training texts"
        ) from error
