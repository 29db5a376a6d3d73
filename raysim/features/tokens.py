"""Numbers of words or wordpieces (T,), and the codec that turns them into text again.

By default words: lower case without accents, each punctuation mark is one. Those that the training texts have
`min_count` times make the vocabulary; the others are <unk>. A text stands between <bos> and <eos>, which `max_tokens`
counts.

`vocabulary: published` is that of the papers on multimodal generation for CUB's captions (Shi et al., "Variational
Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models", 2019): words are cut as nltk's word_tokenize
does it, as far as that needs no model of sentences; <exc>, <pad> and <eos> are 0 to 2, and a text ends in <eos>. There
the words that occur more than three times are known (`min_count: 4`), and texts have at most 32 (`max_tokens: 32`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StrictStr, model_validator

from raysim.data.codec import Codec
from raysim.data.dataset import Array, DataError
from raysim.data.extractor import Extractor
from raysim.features._hub import quiet, short

MARKS = PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
PUBLISHED = EXCEPTION, _, _ = "<exc>", PAD, END
TREEBANK = (
    r"n't\b|(?<=\w)'(?:s|m|d|ll|re|ve)\b|\.{2,}|--"  # endings that are words, marks of several characters
    r"""|(?:(?!n't\b)[^\s.,:;?!()\[\]{}"'`#$%&@*<>])+|\S"""  # words, with hyphens and slashes; other marks
)
"""What is a word to nltk's word_tokenize, nearly: of 29,330 captions nine are cut in another way."""
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
        vocabulary: Literal["bert", "published"] = Field(
            default="bert",
            description="How words are found where there is no tokenizer: as BERT's are, between <bos> and <eos>; or "
            "as papers on multimodal generation have them, with <eos> alone.",
        )
        max_tokens: Annotated[int, Field(ge=3)] = Field(default=128, description="What is longer is cut.")
        min_count: Annotated[int, Field(ge=1)] = Field(
            default=3, description="A word of the training texts that is rarer is unknown."
        )

        @model_validator(mode="after")
        def _one_source(self) -> Self:
            if self.tokenizer is not None and self.vocabulary != "bert":
                raise ValueError("tokenizer has words of its own; remove vocabulary, or write tokenizer: null")
            return self

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
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

        published, count = self.options.vocabulary == "published", self.options.min_count
        marks, unknown = (PUBLISHED, EXCEPTION) if published else (MARKS, UNKNOWN)
        tokenizer: Any = Tokenizer(models.WordLevel(unk_token=unknown))
        if published:
            tokenizer.normalizer = normalizers.Lowercase()
            tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(TREEBANK), "removed", invert=True)
        else:
            tokenizer.normalizer = normalizers.BertNormalizer()
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordLevelTrainer(
            vocab_size=UNLIMITED, min_frequency=count, show_progress=False, special_tokens=list(marks)
        )
        tokenizer.train_from_iterator(texts, trainer)
        if tokenizer.get_vocab_size() == len(marks):
            raise DataError(f"no word appears {count} times in the training texts; lower min_count")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {END}" if published else f"{BEGIN} $A {END}",
            special_tokens=[(mark, marks.index(mark)) for mark in (BEGIN, END) if mark in marks],
        )
        if published:
            tokenizer.enable_padding(pad_id=marks.index(PAD), pad_token=PAD)
        return tokenizer


def _loaded(name: str) -> Any:
    """The tokenizer of a folder, or of the hub."""
    import huggingface_hub
    from tokenizers import Tokenizer

    hub: Any = huggingface_hub
    try:
        with quiet():
            path = Path(name) / FILE if Path(name).is_dir() else hub.hf_hub_download(name, FILE)
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain exceptions
        raise DataError(
            f"tokenizer: {name} cannot be loaded ({short(error)}); give a folder with {FILE}, --features "
            "text='{name: tokens, tokenizer: /path}', or null for the words of the training texts"
        ) from error
    tokenizer.no_padding()
    return tokenizer
