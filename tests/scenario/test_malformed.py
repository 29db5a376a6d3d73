"""Every malformed scenario ends in exit status 2 and one line on stderr that starts with its file and line."""

import pytest

from raysim.cli.app import main

BASE = """name: t
dataset: polydigits
partition: {name: iid, clients: 4}
missing: {name: per_client, rate: 0.5}
method: zero_fill
federation: {rounds: 2}
"""


def changed(old, new):
    assert old in BASE
    return BASE.replace(old, new)


def more(text):
    return BASE + text


# (what, text, line, phrase)
FILES = [
    ("empty", "", 1, "is empty; write at least name"),
    ("comments", "# nothing\n# here\n", 1, "is empty"),
    ("explicit_empty", "---\n", 1, "is empty"),
    ("a_list", "- name\n", 1, "must be a mapping of keys to values"),
    ("a_word", "hello\n", 1, "must be a mapping of keys to values, is 'hello'"),
    ("binary", b"name: t\n\x80\x81\xfe\n", 2, "is not UTF-8 text"),
    ("utf_16", "name: t\n".encode("utf-16"), 1, "is not UTF-8 text"),
    ("nul", b"name: t\n\x00\n", 2, r"holds the control character '\x00'"),
    ("tab", "name: t\n\tdataset: x\n", 2, "indent with spaces"),
    ("open_bracket", "name: t\nseeds: [1, 2\n", 3, "is not YAML: expected ',' or ']'"),
    ("open_quote", 'name: "t\n', 2, "is not YAML: found unexpected end of stream"),
    ("two_colons", "name: a: b\n", 1, "put quotes around a value that holds ': '"),
    ("bad_indent", "name: t\n  dataset: x\n", 2, "check the indentation"),
    ("bad_escape", more('description: "\\q"\n'), 7, "is not YAML: found unknown escape character"),
    ("impossible_escape", more('description: "\\UFFFFFFFF"\n'), 7, "an escape names no character"),
    ("half_escape", more('description: "\\ud800"\n'), 7, "description: an escape names half a character"),
    ("two_documents", more("---\nname: u\n"), 7, "a second document starts here"),
    ("duplicate", more("name: u\n"), 7, "name: is there twice (first at"),
    ("nested_duplicate", changed("clients: 4", "clients: 4, clients: 5"), 3, "partition.clients: is there twice"),
    ("anchor", more("model: &m {dim: 3}\n"), 7, "model: anchors and aliases are not read"),
    ("alias", more("model: *m\n"), 7, "model: anchors and aliases are not read"),
    ("merge", more("model:\n  <<: {dim: 3}\n"), 8, "model: merge keys are not read"),
    ("tag", more("model: !!python/object/apply:os.system [ls]\n"), 7, "model: tags such as"),
    ("number_as_key", more("1: 3\n"), 7, "a key must be text, is 1; put it in quotes"),
    ("list_as_key", more("? [a]\n: 3\n"), 7, "a key must be plain text"),
    ("deep", more(f"model: {'[' * 50_000}\n"), 7, "is nested deeper than 20 levels"),
    ("nan", more("model: {dropout: .nan}\n"), 7, "model.dropout: .nan is not a number to compute with"),
    ("inf", more("model: {dropout: -.inf}\n"), 7, "model.dropout: -.inf is not a number to compute with"),
    ("huge_number", more("model: {dropout: 1e999}\n"), 7, "model.dropout: '1e999' is too large"),
    ("huge_integer", more(f"model: {{dim: {10**30}}}\n"), 7, "is too large for a whole number"),
    ("endless_integer", more(f"model: {{dim: {'9' * 5000}}}\n"), 7, "is too large for a number"),
]
VALUES = [
    ("test_rate", more("evaluation: {missing: {m0: 2}}\n"), 7, "missing.m0: must be a number from 0 to 1, is 2"),
    ("test_word", more("evaluation: {missing: sme}\n"), 7, "or a mapping, is 'sme'; did you mean 'same'?"),
    ("nothing_left", more("evaluation: {missing: {only: []}}\n"), 7, "or a list with at least 1 value, is []"),
    ("share", more("evaluation: {clients: {share: 1.0}}\n"), 7, "share: must be a number above 0 and below 1, is 1.0"),
    ("subsets", more("evaluation: {subsets: al}\n"), 7, "must be 'all', 'singles' or 'none', is 'al'; did you mean"),
    (
        "zero_rounds",
        changed("rounds: 2", "rounds: 0"),
        6,
        "federation.rounds: must be a whole number of at least 1, is 0",
    ),
    ("true_rounds", changed("rounds: 2", "rounds: true"), 6, "must be a whole number of at least 1, is true"),
    ("quoted_rounds", changed("rounds: 2", 'rounds: "3"'), 6, "is '3'; remove the quotes"),
    ("half_rounds", changed("rounds: 2", "rounds: 2.5"), 6, "is 2.5"),
    ("no_rounds", changed("rounds: 2", "rounds:"), 6, "is empty"),
    ("roundz", changed("rounds: 2", "roundz: 2"), 6, "federation.roundz: unknown key; did you mean 'rounds'?"),
    ("missing_section", changed("federation: {rounds: 2}", ""), 1, "federation: is required; write for example"),
    ("number_as_section", changed("{rounds: 2}", "3"), 6, "federation: must be a mapping, is 3"),
    ("dotted", changed("federation: {rounds: 2}", "federation.rounds: 2"), 6, "nest it: 'federation: {rounds: …}'"),
    ("nam", changed("name: t", "nam: t"), 1, "nam: unknown key; did you mean 'name'?"),
    ("gird", more("gird: {}\n"), 7, "gird: unknown key; did you mean 'grid'?"),
    ("path_as_name", changed("name: t", "name: ../t"), 1, "name: must be text of up to 100 letters"),
    ("number_as_name", changed("name: t", "name: 3"), 1, "put it in quotes"),
    ("one_seed", more("seeds: 3\n"), 7, "seeds: must be a list with at least 1 value, is 3; write [3]"),
    ("empty_seeds", more("seeds: []\n"), 7, "seeds: must be a list with at least 1 value, is []"),
    ("negative_seed", more("seeds:\n - 1\n - -1\n"), 9, "seeds.1: must be a whole number of at least 0, is -1"),
    ("twice_a_seed", more("seeds:\n - 1\n - 1\n"), 9, "seeds.1: 1 is there twice"),
    ("cohort", changed("2}", "2, clients_per_round: 1.5}"), 6, "a number above 0 and below 1 or 'all', is 1.5"),
    ("large_cohort", changed("2}", "2, clients_per_round: 9}"), 6, "is 9, but there are 4 clients"),
    ("optimizer", changed("2}", "2, optimizer: adamx}"), 6, "there is none named 'adamx'; did you mean 'adam'?"),
    ("quoted_lr", changed("2}", '2, optimizer: {lr: "0.1"}}'), 6, "optimizer.lr: must be a number above 0, is '0.1'"),
    ("one_beta", changed("2}", "2, optimizer: {name: adam, betas: [0.9]}}"), 6, "must be a list of 2 values, is [0.9]"),
    ("algorithm", changed("2}", "2, algorithm: fedavgg}"), 6, "did you mean 'fedavg'?"),
    (
        "algorithm_option",
        changed("2}", "2, algorithm: {name: fedavg, mu: 1}}"),
        6,
        "federation.algorithm.mu: unknown key",
    ),
    (
        "checkpoint",
        changed("2}", "2, checkpoint: {every_rounds: often}}"),
        6,
        "at least 1, 'auto' or 'never', is 'often'",
    ),
    ("no_checkpoint", changed("2}", "2, checkpoint: {keep: 0}}"), 6, "checkpoint.keep: must be a whole number of at"),
    ("fault", changed("2}", "2, faults: {on_invalid: skip}}"), 6, "must be 'fail' or 'skip_client', is 'skip'"),
    ("unnamed_partition", changed("name: iid, ", ""), 3, "partition: needs a name; there are: iid, dirichlet"),
    ("short_partition", changed("{name: iid, clients: 4}", "iid"), 3, "write for example '{name: iid, clients: 10}'"),
    ("partition", changed("iid", "dirichlett"), 3, "there is none named 'dirichlett'; did you mean 'dirichlet'?"),
    ("no_alpha", changed("iid", "dirichlet"), 3, "partition.alpha: is required; write for example 'alpha: 0.5'"),
    ("rate", changed("0.5", "1.5"), 4, "missing.rate: must be a number from 0 to 1 or a mapping, is 1.5"),
    ("rate_of_one", changed("0.5", "{m0: 0.1, m1: 2}"), 4, "missing.rate.m1: must be a number from 0 to 1, is 2"),
    ("empty_choice", changed("0.5}", "0.5, empty: dropp}"), 4, "is 'dropp'; did you mean 'drop'?"),
    ("roles", changed("per_client, rate: 0.5", "roles, roles: [{modalities: m0, clients: 4}]"), 4, "write [m0]"),
    (
        "role_count",
        changed("per_client, rate: 0.5", "roles, roles: [{modalities: [m0], clients: 3}]"),
        4,
        "add up to 3",
    ),
    ("word_as_flag", more("model: {normalize: yes}\n"), 7, "model.normalize: must be true or false, is 'yes'"),
    ("encoder", more("model: {encoders: {m0: cnnn}}\n"), 7, "model.encoders.m0: must be 'cnn', 'conv_gru'"),
    (
        "metrics",
        more("evaluation:\n  metrics: [acuracy]\n"),
        8,
        "evaluation.metrics.0.name: there is no metric 'acuracy'; did you mean 'accuracy'?",
    ),
    ("metric", more("evaluation:\n  metrics: [uar]\n  metric: accuracy\n"), 9, "is not among evaluation.metrics (uar)"),
    ("method", changed("zero_fill", "zero_fil"), 5, "method.name: there is no method 'zero_fil'; did you mean"),
    ("method_option", changed("zero_fill", "{name: zero_fill, dim: 3}"), 5, "method.dim: unknown key"),
    ("no_module", changed("zero_fill", "no_such_module:X"), 5, "there is no module 'no_such_module'"),
    ("dataset_option", changed("polydigits", "{name: polydigits, modalities: 1}"), 2, "from 2 to 5, is 1"),
]
GRIDS = [
    ("list_as_grid", more("grid: [1]\n"), 7, "grid: must map dotted keys to lists"),
    ("empty_grid", more("grid:\n"), 7, "grid: must map dotted keys to lists, is empty"),
    ("no_list", more("grid:\n  missing.rate: 0.5\n"), 8, "grid.missing.rate: must be a list"),
    ("twice_a_value", more("grid:\n  missing.rate:\n    - 0.1\n    - 0.10\n"), 10, "'0.1' is there twice; keep one"),
    ("wrong_value", more("grid:\n  missing.rate:\n    - 0.1\n    - 2\n"), 10, "missing.rate: must be a number"),
    ("wrong_key", more("grid:\n  mising.rate: [0.1]\n"), 8, "mising: unknown key; did you mean 'missing'?"),
    ("wrong_method", more("grid:\n  method:\n    - zero_fill\n    - zero_fil\n"), 10, "did you mean 'zero_fill'?"),
    ("seeds_in_grid", more("grid:\n  seeds: [[1], [2]]\n"), 8, "'seeds' cannot vary in a grid"),
    ("no_label", more("grid:\n  arm:\n    - method: zero_fill\n"), 9, "grid.arm.0.label: is required"),
    ("twice_a_label", more("grid:\n  arm:\n    - label: a\n    - label: a\n"), 10, "grid.arm.1: 'a' is there twice"),
    ("into_a_number", more("grid:\n  federation.rounds.x: [1]\n"), 8, "'federation.rounds' is 2, not a mapping"),
    ("explosion", more(f"grid: {{{', '.join(f'k{i}: [1, 2]' for i in range(30))}}}\n"), 7, "more than 10000"),
]


@pytest.mark.parametrize(("text", "line", "phrase"), [pytest.param(*c[1:], id=c[0]) for c in FILES + VALUES + GRIDS])
def test_one_line_and_exit_status_2(tmp_path, capfd, text, line, phrase):
    path = tmp_path / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["validate", str(path)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"{path}:{line}: ")
    assert phrase in err
    assert "Traceback" not in err


def test_the_base_is_well_formed(tmp_path, capfd):
    path = tmp_path / "s.yaml"
    path.write_text(BASE)
    assert main(["validate", str(path)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{path}: ok, 1 trial\n  ")
    assert err == ""


def test_files_that_cannot_be_read(tmp_path, capfd):
    (tmp_path / "large.yaml").write_text(more("#" * 1_000_000))
    assert main(["validate", str(tmp_path), str(tmp_path / "no.yaml"), str(tmp_path / "large.yaml")]) == 2
    assert capfd.readouterr().err.splitlines() == [
        f"{tmp_path}: is a folder; name the YAML files in it",
        f"{tmp_path}/no.yaml: there is no such file; check the path",
        f"{tmp_path}/large.yaml: is larger than 1 MB; a scenario is a short YAML file",
    ]
