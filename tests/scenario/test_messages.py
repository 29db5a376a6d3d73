from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from raysim.registry import options
from raysim.scenario.messages import explain
from raysim.scenario.optimizer import Optimizer, Sgd


class Fake:
    """A component with every kind of option that a method is likely to have."""

    class Options(BaseModel):
        model_config = ConfigDict(frozen=True)
        freeze: bool = False
        latent: Annotated[int, Field(ge=2, le=512)] = 64
        alpha: Annotated[float, Field(gt=0)] = 1.0
        fusion: Literal["concat", "attention"] = "concat"
        weights: tuple[float, ...] = ()
        rates: dict[str, float] = {}
        folder: Path = Path()
        limit: int | None = None
        optimizer: Optimizer = Sgd()

        @model_validator(mode="after")
        def even(self):
            if self.limit == self.latent:
                raise ValueError("limit must differ from latent; raise it")
            return self


def test_options_are_read_as_yaml_writes_them():
    found = options(
        Fake,
        {"weights": [1, 0.5], "folder": "a/b", "alpha": 2, "optimizer": {"name": "adam", "betas": [0.5, 0.9]}},
    )
    assert (found.weights, found.folder, found.alpha) == ((1.0, 0.5), Path("a/b"), 2.0)
    assert found.optimizer.betas == (0.5, 0.9)


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"freez": True}, "freez", "unknown key; did you mean 'freeze'?"),
        ({"freeze": "no"}, "freeze", "must be true or false, is 'no'"),
        ({"freeze": 1}, "freeze", "must be true or false, is 1"),
        ({"latent": 1}, "latent", "must be a whole number from 2 to 512, is 1"),
        ({"latent": True}, "latent", "must be a whole number from 2 to 512, is true"),
        ({"latent": "64"}, "latent", "must be a whole number from 2 to 512, is '64'; remove the quotes"),
        ({"latent": None}, "latent", "must be a whole number from 2 to 512, is empty"),
        ({"alpha": "0.1"}, "alpha", "must be a number above 0, is '0.1'; remove the quotes"),
        ({"fusion": "atention"}, "fusion", "must be 'concat' or 'attention', is 'atention'; did you mean 'attention'?"),
        ({"weights": 1}, "weights", "must be a list, is 1; write [1]"),
        ({"weights": [1, "a"]}, "weights.1", "must be a number, is 'a'"),
        ({"rates": {"m0": []}}, "rates.m0", "must be a number, is []"),
        ({"folder": 3}, "folder", "must be text, is 3; put it in quotes"),
        ({"limit": "x"}, "limit", "must be a whole number or null, is 'x'"),
        ({"limit": 64}, "", "limit must differ from latent; raise it"),
        ({"optimizer": "adan"}, "optimizer", "there is none named 'adan'; did you mean 'adam'?"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr", "must be a number above 0, is 0"),
        ({"optimizer": {"name": "adam", "betas": [0.9]}}, "optimizer.betas", "must be a list of 2 values, is [0.9]"),
    ],
)
def test_wrong_options_in_plain_words(values, key, message):
    with pytest.raises(ValidationError) as caught:
        options(Fake, values)
    assert explain(caught.value, Fake.Options.model_json_schema(), values) == (key, message)


def test_an_unknown_key_is_told_before_the_missing_one_that_it_explains():
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        rounds: int
        name: str

    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"roundz": 1, "name": 3})
    key, message = explain(caught.value, Options.model_json_schema(), {"roundz": 1, "name": 3})
    assert (key, message) == ("roundz", "unknown key; did you mean 'rounds'?")
