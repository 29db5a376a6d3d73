import torch

from raysim.models.beam import search


def chain(table):
    """What follows depends on the last word alone; the state counts words."""
    logits = torch.tensor(table).log()
    return lambda words, state: (logits[words], (state[0] + 1,))


def likeliest(table, longest, beam, trigrams=False, rows=1):
    return search(chain(table), (torch.zeros(rows, 1, 1),), longest, beam, trigrams=trigrams).tolist()


def test_a_beam_finds_what_single_steps_miss():
    table = [[0.0, 0.6, 0.4], [0.4, 0.3, 0.3], [0.9, 0.1, 0.0]]
    assert likeliest(table, 3, 1) == [[1, 0, 0]]  # 0.6 * 0.4
    assert likeliest(table, 3, 2, rows=2) == [[2, 0, 0]] * 2  # 0.4 * 0.9


def test_no_three_words_come_twice():
    table = [[0, 1.0, 0, 0], [0.1, 0, 0.9, 0], [0.1, 0.6, 0, 0.3], [1.0, 0, 0, 0]]
    assert likeliest(table, 7, 1) == [[1, 2, 1, 2, 1, 2, 1]]
    assert likeliest(table, 7, 1, trigrams=True) == [[1, 2, 1, 2, 3, 0, 0]]
    same = [[0, 1.0, 0], [0.1, 0.7, 0.2], [0.9, 0.1, 0]]
    assert likeliest(same, 6, 1, trigrams=True) == [[1, 1, 1, 2, 0, 0]]


def test_a_text_is_never_empty():
    assert likeliest([[0.9, 0.1], [1.0, 0.0]], 3, 1) == [[1, 0, 0]]
    assert likeliest([[0.9, 0.1], [0.5, 0.5]], 1, 3) == [[1]]  # more texts are followed than there are
