from itertools import pairwise

import numpy as np
import pytest

from raysim.data.dataset import DataError
from raysim.data.effective import effective, hidden_share
from raysim.data.missing import changes, counted, evaluation_mask, training_mask, when_empty
from raysim.scenario.clients import NothingMissing, PerClient, PerSample, Role, Roles
from raysim.scenario.served import Only

NAMES = ("image", "text", "audio")
ROWS = 300
PARTS = [np.arange(i, ROWS, 20) for i in range(20)]


def everything():
    return np.ones((ROWS, 3), dtype=bool)


def per_sample(rate, empty="keep_one"):
    return PerSample(name="per_sample", rate=rate, empty=empty)


def per_client(rate, empty="keep_one"):
    return PerClient(name="per_client", rate=rate, empty=empty)


def roles(*counts):
    return Roles(name="roles", roles=tuple(Role(modalities=m, clients=n) for m, n in counts))


def by_client(mask, parts=PARTS):
    """The mask of each client; all its samples must agree."""
    assert all((mask[p] == mask[p][:1]).all() for p in parts)
    return np.stack([mask[p[0]] for p in parts])


def test_none_keeps_the_natural_mask_and_drops_samples_with_nothing():
    present = np.array([[True, False, False], [False, False, False], [True, True, True]])
    mask, parts = training_mask(present, [np.array([0, 1]), np.array([2])], NothingMissing(), NAMES, 0)
    assert mask.tolist() == present.tolist()
    assert [p.tolist() for p in parts] == [[0], [2]]


def test_per_sample_hides_at_the_rate_and_keeps_one():
    mask, parts = training_mask(np.ones((30_000, 3), bool), [np.arange(30_000)], per_sample(0.5), NAMES, 0)
    assert len(parts[0]) == 30_000
    # P(available) = 0.5 + P(all lost) / 3 = 0.5 + 0.125 / 3
    assert np.abs(mask.mean(axis=0) - (0.5 + 0.125 / 3)).max() < 0.01


def test_the_kept_modality_is_a_fair_choice_even_when_rates_differ():
    rate = {"image": 1.0, "text": 0.5, "audio": 0.25}
    drop, _ = training_mask(np.ones((60_000, 3), bool), [np.arange(60_000)], per_sample(rate, "drop"), NAMES, 0)
    keep, _ = training_mask(np.ones((60_000, 3), bool), [np.arange(60_000)], per_sample(rate), NAMES, 0)
    lost = ~drop.any(axis=1)
    assert abs(lost.mean() - 0.125) < 0.01
    assert np.abs(keep[lost].mean(axis=0) - 1 / 3).max() < 0.02
    assert (keep[lost].sum(axis=1) == 1).all()
    assert np.array_equal(keep[~lost], drop[~lost])


def test_drop_takes_samples_that_lost_everything_out_of_their_client():
    mask, parts = training_mask(everything(), PARTS, per_sample(0.8, "drop"), NAMES, 0)
    left = np.sort(np.concatenate(parts))
    assert left.tolist() == np.flatnonzero(mask.any(axis=1)).tolist()
    assert 0 < len(left) < ROWS


def test_per_client_is_one_draw_for_all_samples_of_a_client():
    mask, parts = training_mask(everything(), PARTS, per_client(0.5), NAMES, 0)
    clients = by_client(mask)
    assert clients.any(axis=1).all()
    assert 0.4 < clients.mean() < 0.75
    assert [len(p) for p in parts] == [15] * 20


def test_a_client_that_loses_everything_keeps_its_place():
    mask, parts = training_mask(everything(), PARTS, per_client(0.8, "drop"), NAMES, 0)
    lost = ~by_client(mask).any(axis=1)
    assert lost.any()
    assert not lost.all()
    assert [len(p) for p in parts] == [0 if gone else 15 for gone in lost]


def test_keep_one_never_gives_a_client_what_it_naturally_lacks():
    present = everything()
    present[:, 1:] = False
    mask, parts = training_mask(present, PARTS, per_client(1.0), NAMES, 0)
    assert by_client(mask).tolist() == [[True, False, False]] * 20
    assert [len(p) for p in parts] == [15] * 20


@pytest.mark.parametrize("spec", [per_sample, per_client])
@pytest.mark.parametrize("empty", ["drop", "keep_one"])
def test_masks_of_one_seed_are_nested_and_respect_the_data(spec, empty):
    present = np.random.default_rng(0).random((ROWS, 3)) < 0.7
    masks = [training_mask(present, PARTS, spec(r, empty), NAMES, 3)[0] for r in (0.0, 0.2, 0.5, 0.9)]
    assert np.array_equal(masks[0], present)
    for more, less in pairwise(masks):
        assert (less <= more).all()
        assert (less != more).any()


def test_the_draw_depends_on_seed_and_modality_not_on_the_others():
    both = training_mask(everything(), PARTS, per_sample(0.5, "drop"), NAMES, 1)[0]
    alone = training_mask(everything()[:, :1], PARTS, per_sample(0.5, "drop"), ("text",), 1)[0]
    assert np.array_equal(both[:, 1], alone[:, 0])
    assert not np.array_equal(both, training_mask(everything(), PARTS, per_sample(0.5, "drop"), NAMES, 2)[0])


def test_a_rate_by_modality_leaves_the_others_alone():
    mask, _ = training_mask(everything(), PARTS, per_sample({"text": 1.0}), NAMES, 0)
    assert mask.all(axis=0).tolist() == [True, False, True]
    assert not mask[:, 1].any()


def test_roles_count_exactly_and_move_with_the_seed():
    spec = roles((("image",), 16), (("image", "text"), 4))
    first, second = (by_client(training_mask(everything(), PARTS, spec, NAMES, seed)[0]) for seed in (0, 1))
    for clients in (first, second):
        assert clients.sum(axis=0).tolist() == [20, 4, 0]
    assert not np.array_equal(first, second)


def test_client_and_sample_rates_at_once_are_the_two_alone():
    both = PerSample(name="per_sample", rate=0.3, client_rate=0.4, empty="drop")
    mask, _ = training_mask(everything(), PARTS, both, NAMES, 5)
    clients, samples = (training_mask(everything(), PARTS, s(r, "drop"), NAMES, 5)[0] for s, r in
                        ((per_client, 0.4), (per_sample, 0.3)))  # fmt: skip
    assert (mask == (clients & samples)).all()
    kept, parts = training_mask(everything(), PARTS, both.model_copy(update={"empty": "keep_one"}), NAMES, 5)
    owned = training_mask(everything(), PARTS, per_client(0.4), NAMES, 5)[0]
    assert (kept <= owned).all()
    assert [len(p) for p in parts] == [15] * 20


def test_evaluation_has_both_rates_by_sample():
    present = np.ones((30_000, 3), bool)
    spec = PerSample(name="per_sample", rate={"image": 0.5, "text": 0.2}, client_rate={"image": 0.4}, empty="drop")
    mask = evaluation_mask(present, "same", spec, NAMES, 0, "test")
    assert mask.mean(axis=0) == pytest.approx([0.3, 0.8, 1.0], abs=0.01)


def by_class(**rates):
    return PerSample(name="per_sample", rate=0.0, by_class=rates, empty="drop")


def test_rates_by_class_are_of_the_true_class_in_training_and_at_test_time():
    labels, classes, present = np.arange(30_000) % 3, ("x", "y", "z"), np.ones((30_000, 3), bool)
    spec = by_class(x=0.7, z={"text": 0.4})
    mask, _ = training_mask(present, [np.arange(30_000)], spec, NAMES, 0, None, labels, classes)
    tested = evaluation_mask(present, "same", spec, NAMES, 0, "test", None, labels, classes)
    for found in (mask, tested):
        left = [found[labels == c].mean(axis=0) for c in range(3)]
        assert left[0] == pytest.approx([0.3, 0.3, 0.3], abs=0.02)
        assert left[1].tolist() == [1, 1, 1]
        assert left[2] == pytest.approx([1, 0.6, 1], abs=0.02)
    plain = training_mask(present, [np.arange(30_000)], per_sample(0.7, "drop"), NAMES, 0)[0]
    assert (mask[labels == 0] == plain[labels == 0]).all()


def test_of_several_labels_the_first_decides_the_class():
    labels = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 1]], np.float32)
    mask = evaluation_mask(
        np.ones((3, 3), bool), "same", by_class(y=1.0), NAMES, 0, "test", None, labels, ("x", "y", "z")
    )
    assert mask.all(axis=1).tolist() == [True, False, True]


def test_a_class_that_is_not_there():
    with pytest.raises(DataError, match=r"^by_class: no class 'hapy'; did you mean 'happy'\?$"):
        training_mask(everything(), PARTS, by_class(hapy=0.5), NAMES, 0, None, np.zeros(ROWS, int), ("happy", "sad"))


def changing(rate, rates=(), redraw=True, every_rounds=2, **more):
    spec = {"name": "per_sample", "rate": rate, **more}
    spec["changing"] = {"every_rounds": every_rounds, "rates": rates, "redraw": redraw}
    return changes(everything(), PARTS, PerSample.model_validate(spec), NAMES, 3)


def test_masks_change_every_so_many_rounds_and_begin_as_if_nothing_changed():
    found = changing(0.5)
    masks = [found.mask(r) for r in range(1, 7)]
    assert (masks[0] == training_mask(everything(), PARTS, per_sample(0.5), NAMES, 3)[0]).all()
    for first, second in ((0, 1), (2, 3), (4, 5)):
        assert (masks[first] == masks[second]).all()
    for first, second in ((1, 2), (3, 4), (0, 4)):
        assert (masks[first] != masks[second]).any(axis=1).mean() > 0.4


def test_the_draws_stay_what_they_are():
    found = changing(0.5, every_rounds=1)
    first = [(found.mask(r)[:8] @ [4, 2, 1]).tolist() for r in (1, 2, 3)]
    assert first == [[3, 4, 4, 6, 5, 6, 1, 6], [7, 6, 2, 2, 6, 7, 3, 7], [2, 4, 3, 1, 7, 2, 4, 5]]


def test_growing_rates_take_more_of_the_same_and_the_last_one_stays():
    found = changing(0.1, (0.4, {"text": 0.9}), redraw=False, every_rounds=1)
    first, second, third, fourth = (found.mask(r) for r in (1, 2, 3, 4))
    assert (second <= first).all()
    assert (third[:, 1] <= second[:, 1]).all()
    assert third[:, [0, 2]].all()
    assert (fourth == third).all()
    assert [(~m).mean() for m in (first, second)] == pytest.approx([0.1, 0.4], abs=0.06)


@pytest.mark.parametrize(
    "found",
    [
        changing(0.5, every_rounds=1),
        changing({"image": 1.0, "text": 0.5}, every_rounds=1, client_rate=0.4),
        changing(1.0, every_rounds=1),
        changing({"image": 1.0, "text": 1.0}, ({"image": 0.5},), every_rounds=1),
        changing(0.0, ({"audio": 0.5},), every_rounds=1),
    ],
)
def test_what_samples_ever_and_always_have(found):
    masks = np.stack([found.mask(r) for r in range(1, 41)])
    assert (masks.any(axis=0) == found.ever()).all()
    assert (masks.all(axis=0) == found.always()).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (per_sample({"txt": 0.5}), "rate: no modality 'txt'; did you mean 'text'?"),
        (roles((("image",), 19)), "the roles' clients add up to 19, but there are 20; make them equal"),
        (roles((("video",), 20)), "roles: no modality 'video'; there are: image, text, audio"),
        (per_client(1.0, "drop"), "no training sample has a modality left; lower the rate or set empty: keep_one"),
    ],
)
def test_errors(spec, message):
    with pytest.raises(DataError) as caught:
        training_mask(everything(), PARTS, spec, NAMES, 0)
    assert str(caught.value) == message
    assert caught.value.section == "missing"


def test_evaluation_masks():
    present = everything()
    present[0] = False

    def draw(setting, spec=None, seed=0, split="test"):
        return evaluation_mask(present, setting, spec or per_client(0.5), NAMES, seed, split)

    assert np.array_equal(draw("none"), present)
    same = draw("same")
    assert 0.4 < same.mean() < 0.65
    assert same[1:].any(axis=1).all()
    assert not same[0].any()
    assert np.array_equal(same, draw(0.5, NothingMissing()))
    assert np.array_equal(same, draw("same", per_sample(0.5)))
    dropped = draw("same", per_sample(0.5, "drop"))
    nothing = ~dropped.any(axis=1)
    assert 0.06 < nothing.mean() < 0.2
    assert np.array_equal(same[~nothing], dropped[~nothing])
    assert not np.array_equal(same, draw("same", split="validation"))
    assert not np.array_equal(same, draw("same", seed=1))


@pytest.mark.parametrize(
    ("said", "spec", "expected"),
    [
        (None, per_sample(0.5, "drop"), "drop"),
        (None, per_client(0.5), "keep_one"),
        (None, NothingMissing(), "keep_one"),
        ("predict", per_sample(0.5, "drop"), "predict"),
        ("keep_one", per_sample(0.5, "drop"), "keep_one"),
    ],
)
def test_evaluation_follows_training_where_it_says_nothing(said, spec, expected):
    assert when_empty(said, spec) == expected


@pytest.mark.parametrize(
    ("rate", "empty", "left"),
    [(0.7, "keep_one", 0.455), (0.9, "keep_one", 0.495), (0.7, "drop", 0.21 / 0.51)],  # both lost: rate^2
)
def test_the_effective_rate_of_two_modalities(rate, empty, left):
    present = np.ones((40_000, 2), dtype=bool)
    mask, parts = training_mask(present, [np.arange(40_000)], per_sample(rate, empty), NAMES[:2], 0)
    assert hidden_share(present[parts[0]], mask[parts[0]]) == pytest.approx(left, abs=0.004)


def test_what_the_data_lacks_counts_as_no_missing_modality():
    present = np.array([[True, False], [True, True], [False, False]])
    assert hidden_share(present, np.array([[True, False], [False, True], [False, False]])) == pytest.approx(1 / 3)
    assert hidden_share(present[2:], present[2:]) == 0


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        (per_sample(0.7), "0.7"),
        (
            PerSample(name="per_sample", rate=0.1, client_rate=0.5, by_class={"a": 0.3}),
            "0.1, by client, by class",
        ),
        (per_client({"text": 0.5}), "text 0.5"),
        (roles((("image",), 20)), "roles"),
    ],
)
def test_the_effective_rate_is_said_beside_the_asked_one(spec, asked):
    said = effective(spec, {"training": 0.4561, "validation": 0.0, "test": 0.45})
    assert said == f"missing {asked}: in effect 0.456 in training, 0.450 at test"
    lacking = {"training": 0.125, "validation": 0.0, "test": 0.25}
    assert effective(spec, {"training": 0.4561, "test": 0.45}, lacking) == (
        f"missing {asked}: in effect 0.456 of what the data has in training, 0.450 at test; "
        "the data itself lacks 0.125 and 0.250"
    )
    assert not effective(spec, {"training": 0.0, "validation": 0.0, "test": 0.0})


@pytest.mark.parametrize(("setting", "needed"), [("same", "a rate"), ("roles", "roles")])
def test_what_training_does_not_say_cannot_be_the_same_at_test_time(setting, needed):
    with pytest.raises(DataError, match=rf"evaluation\.missing: {setting} needs {needed}") as caught:
        evaluation_mask(everything(), setting, NothingMissing(), NAMES, 0, "test")
    assert caught.value.section == "evaluation"


def test_a_rate_by_modality_at_test_time():
    present = np.ones((20_000, 3), dtype=bool)
    mask = evaluation_mask(present, {"image": 0.5, "text": 0.2}, roles((("image",), 20)), NAMES, 0, "test")
    assert mask.mean(axis=0) == pytest.approx([0.5, 0.8, 1.0], abs=0.01)
    both = evaluation_mask(present, 0.5, NothingMissing(), NAMES, 0, "test")
    only_audio = both[:, 2] & ~both[:, :2].any(axis=1)
    assert np.array_equal(mask[only_audio, 0], both[only_audio, 0])  # the same draws whatever the others' rates


def test_only_what_is_named_is_left_at_test_time():
    present = np.array([[True, True, True], [True, False, True], [False, False, False]])
    left = evaluation_mask(present, Only(only=("text",)), NothingMissing(), NAMES, 0, "test", "drop")
    assert left.tolist() == [[False, True, False], [False] * 3, [False] * 3]
    assert counted(left, Only(only=("text",)), NothingMissing(), "test", "drop").tolist() == [True, False, False]
    kept = evaluation_mask(present, Only(only=("text",)), NothingMissing(), NAMES, 0, "test")
    assert kept[0].tolist() == [False, True, False]
    assert (kept & present).sum(axis=1).tolist() == [1, 1, 0]


@pytest.mark.parametrize("setting", [{"smell": 0.5}, Only(only=("text", "smell"))])
def test_no_unknown_modality_at_test_time(setting):
    with pytest.raises(DataError, match="no modality 'smell'; there are: image, text, audio") as caught:
        evaluation_mask(everything(), setting, per_client(0.5), NAMES, 0, "test")
    assert caught.value.section == "evaluation"


@pytest.mark.parametrize("setting", ["same", "roles"])
def test_each_test_sample_has_a_role_in_proportion_to_clients(setting):
    spec = roles((("image",), 3), (("image", "text"), 1))
    present = np.ones((20_000, 3), dtype=bool)
    mask = evaluation_mask(present, setting, spec, NAMES, 0, "test")
    assert set(map(tuple, mask.tolist())) == {(True, False, False), (True, True, False)}
    assert mask[:, 1].mean() == pytest.approx(0.25, abs=0.01)
    assert not np.array_equal(mask, evaluation_mask(present, setting, spec, NAMES, 0, "validation"))
    present[:, 0] = False
    alone = evaluation_mask(present, setting, spec, NAMES, 0, "test", "drop")
    assert np.array_equal(alone[:, 1], mask[:, 1])
    assert alone[~mask[:, 1]].sum() == 0
