"""Means of classes, which tell how much a label alone says of what is made."""

import pytest
import torch

from raysim.models.reconstruction import class_means


@pytest.mark.parametrize("stack", [(), (3,)])
@pytest.mark.parametrize("labels", [(), (4,)])
def test_a_rows_class_is_the_rows_that_count_with_its_labels(stack, labels):
    values, rows = torch.randn(*stack, 30, 5, dtype=torch.float64), torch.rand(*stack, 30) < 0.6
    y = torch.randint(0, 2 if labels else 6, (*stack, 30, *labels))
    mean, of_class = class_means(values, rows, y)
    for k in range(len(values)) if stack else [...]:
        torch.testing.assert_close(mean[k][0], values[k][rows[k]].mean(0))
        for b in range(30):
            alike = rows[k] & (y[k] == y[k][b]).reshape(30, -1).all(-1)
            torch.testing.assert_close(of_class[k][b], values[k][alike].mean(0) if alike.any() else mean[k][0])


def test_memory_grows_with_the_rows_and_not_with_their_square():
    rows = 60_000  # a table of all pairs would have 3.6 billion entries
    _, of_class = class_means(torch.ones(rows, 2), torch.ones(rows, dtype=torch.bool), torch.arange(rows) % 10)
    assert of_class.shape == (rows, 2)
