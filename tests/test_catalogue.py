from importlib.metadata import EntryPoint, EntryPoints
from typing import get_args

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from raysim import catalogue, registry
from raysim.catalogue import KINDS, Option, component, listed, options
from raysim.registry import UnknownNameError
from raysim.scenario.clients import OwnPartition, Partition
from raysim.scenario.model import Encoder, Fusion
from raysim.scenario.optimizer import Adam, Optimizer, Sgd
from raysim.scenario.section import Count

ALL = [(kind, entry) for kind in KINDS for entry in listed(kind)]


@pytest.mark.parametrize(("kind", "entry"), ALL, ids=lambda part: part if isinstance(part, str) else part.name)
def test_all_that_is_listed_says_what_it_is_and_takes(kind, entry):
    found = component(kind, entry.name)
    assert entry.summary
    assert found.doc.partition("\n")[0] == entry.summary
    assert found.origin == entry.origin
    assert all(option.type and option.description for option in found.options)


def test_encoders_are_those_of_the_schema():
    (names, auto) = get_args(Encoder.model_fields["name"].annotation)
    assert [e.name for e in listed("encoder")] == [*get_args(names), "transformers", "torchvision"]
    assert get_args(auto) == ("auto",)


def test_optimizers_are_those_of_the_schema():
    assert [e.name for e in listed("optimizer")] == ["sgd", "adam", "adamw"]
    assert [e.name for e in listed("missing")][:2] == ["none", "per_client"]


def test_an_encoders_options_are_those_that_it_takes():
    taken = [("channels", [32, 64, 128]), ("hidden", None), ("freeze", None)]
    assert [(o.name, o.default) for o in component("encoder", "conv_gru").options] == taken
    assert [o.name for o in component("encoder", "gru").options] == ["hidden", "freeze"]
    assert [o.name for o in component("encoder", "bert").options] == ["weights", "freeze"]
    assert [o.name for o in component("encoder", "torchvision").options] == [
        "model", "weights", "freeze", "lora", "digest"
    ]  # fmt: skip


def test_options_in_words():
    class Options(BaseModel):
        rounds: Count = Field(description="How  long\nit lasts.")
        rates: dict[str, float] = Field(default_factory=dict)
        optimizer: Optimizer | None = None
        own: Optimizer = Adam(name="adam", lr=0.5)
        plain: Optimizer = Sgd()
        fusion: Fusion = Field(description="Of what is there.")

    variants = "a name or a mapping with a name"
    assert options(Options) == (
        Option("rounds", "a whole number of at least 1", True, None, "How long it lasts."),
        Option("rates", "a mapping", False, {}, ""),
        Option("optimizer", f"{variants} or null; names: adam, adamw, sgd", False, None, ""),
        Option("own", f"{variants}; names: adam, adamw, sgd", False, {"name": "adam", "lr": 0.5}, ""),
        Option("plain", f"{variants}; names: adam, adamw, sgd", False, {"name": "sgd"}, ""),
        Option("fusion", f"{variants}; names: attention, concat", True, None, "Of what is there."),
    )


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("method", "zero_fil", "there is no method 'zero_fil'; did you mean 'zero_fill'?"),
        ("partition", "dirichlett", "there is no partition 'dirichlett'; did you mean 'dirichlet'?"),
        ("fusion", "x", "there is no fusion 'x'; there are: concat, attention"),
        ("encoder", "cn", "there is no encoder 'cn'; did you mean 'cnn'?"),
    ],
)
def test_a_name_that_is_not_there(kind, name, message):
    with pytest.raises(UnknownNameError) as caught:
        component(kind, name)
    assert str(caught.value) == message


OWN = '''"""Says what it is.

More of it.
"""
from pydantic import BaseModel, Field
from raysim.method import Method
class Own(Method):
    """The class."""
    class Options(Method.Options):
        """Its settings."""
        width: int = Field(default=3, description="How wide.")
'''


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Writes a method's file where one works."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return tmp_path / f"{name}.py"

    return write


def test_a_class_of_ones_own(beside):
    path = beside("own_catalogued", OWN)
    found = component("method", "own_catalogued:Own")
    assert (found.doc, found.origin) == ("The class.", str(path))
    assert found.options == (Option("width", "a whole number", False, 3, "How wide."),)


def test_a_modules_options_are_what_its_constructor_takes_besides(beside):
    code = """from typing import Callable
from torch import nn
class Tower(nn.Module):
    '''A tower.'''
    def __init__(self, in_channels, dim, width: int, rate=0.5, norm: Callable = nn.Identity):
        pass
"""
    path = beside("own_tower", code)
    found = component("encoder", "own_tower:Tower")
    assert (found.doc, found.origin) == ("A tower.", str(path))
    own, frozen = found.options[:2], found.options[2]
    assert own == (Option("width", "a whole number", True, None, ""), Option("rate", "anything", False, 0.5, ""))
    assert (frozen.name, frozen.type, frozen.default) == ("freeze", "true or false, a list or null", None)
    with pytest.raises(UnknownNameError, match=r"has no fusion class 'Towr'; did you mean 'Tower'\?$"):
        component("fusion", "own_tower:Towr")


FUNCTIONS = """import numpy as np

def halves(samples, rng, clients: int, share=0.5):
    '''Two kinds of clients.'''

class Broken:
    '''A sensor that breaks.'''
    def __init__(self, rate: float = 0.2):
        pass
    def __call__(self, present):
        pass
"""


def test_functions_options_are_what_they_take_besides(beside):
    path = beside("own_functions_listed", FUNCTIONS)
    found = component("partition", "own_functions_listed:halves")
    assert (found.doc, found.origin) == ("Two kinds of clients.", str(path))
    assert found.options == (
        Option("clients", "a whole number", True, None, ""), Option("share", "anything", False, 0.5, "")
    )  # fmt: skip
    found = component("missing", "own_functions_listed:Broken")
    assert (found.doc, [o.name for o in found.options]) == ("A sensor that breaks.", ["rate", "parts"])
    assert [o.name for o in component("augmentation", "own_functions_listed:halves").options][-2:] == [
        "flip", "rotate_deg"
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match=r"has no partition function 'halfs'; did you mean 'halves'\?$"):
        component("partition", "own_functions_listed:halfs")
    with pytest.raises(UnknownNameError, match=r"has no missing function 'x'; write a function$"):
        component("missing", "own_functions_listed:x")


def test_functions_of_a_package_have_short_names(beside, monkeypatch):
    beside("own_functions_shipped", FUNCTIONS)
    points = EntryPoints([
        EntryPoint("halves", "own_functions_shipped:halves", "raysim.partitions"),
        EntryPoint("broken", "own_functions_shipped:Broken", "raysim.missing"),
    ])  # fmt: skip
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: points.select(**wanted))
    registry._points.cache_clear()
    try:
        assert [e.name for e in listed("partition")][-1] == "halves"
        assert component("missing", "broken").doc == "A sensor that breaks."
        spec = TypeAdapter(Partition).validate_python({"name": "halves", "clients": 3})
        assert (type(spec), spec.options) == (OwnPartition, {"clients": 3})
    finally:
        registry._points.cache_clear()


def test_a_file_that_cannot_be_imported_is_one_line(beside):
    path = beside("broken_catalogued", "import raysim\nraysim.nothing\n")
    with pytest.raises(UnknownNameError) as caught:
        component("method", "broken_catalogued:Own")
    assert str(caught.value) == (
        f"'broken_catalogued:Own' cannot be imported: {path}:2: AttributeError: module 'raysim' has no attribute "
        "'nothing'; correct the file"
    )


def test_plurals_name_all_kinds():
    assert tuple(catalogue.PLURALS.values()) == KINDS
