import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from raysim.models.likelihood import Bernoulli, Categorical, Laplace, Likelihood, Normal

DECODED = torch.tensor([[[-1.0, 0.5], [2.0, 0.0]]])  # one sample, two draws
TARGET = torch.tensor([[[0.3, 0.9]]])


@pytest.mark.parametrize(
    ("likelihood", "reference"),
    [
        (Normal(name="normal", scale=0.5), lambda x: torch.distributions.Normal(x, 0.5)),
        (Laplace(name="laplace", scale=0.01), lambda x: torch.distributions.Laplace(x, 0.01)),
        (Bernoulli(name="bernoulli"), lambda x: torch.distributions.Bernoulli(logits=x, validate_args=False)),
    ],
)
def test_numbers_have_the_likelihood_that_torch_knows(likelihood, reference):
    torch.testing.assert_close(likelihood.log_prob(DECODED, TARGET), reference(DECODED).log_prob(TARGET))
    torch.testing.assert_close(likelihood.mean(DECODED), reference(DECODED).mean)


def test_bernoulli_of_large_logits_is_finite():
    found = Bernoulli(name="bernoulli").log_prob(torch.tensor([[[-200.0, 200.0]]]), torch.tensor([[[1.0, 1.0]]]))
    assert found.tolist() == [[[-200.0, 0.0]]]


def test_words_have_the_likelihood_that_torch_knows():
    decoded = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))  # samples, draws, positions, words
    words = torch.tensor([[[0, 4, 2]], [[1, 1, 3]]])
    found, reference = Categorical(name="categorical"), torch.distributions.Categorical(logits=decoded)
    torch.testing.assert_close(found.log_prob(decoded, words), reference.log_prob(words))
    torch.testing.assert_close(found.mean(decoded), reference.probs)


@pytest.mark.parametrize(
    "value", [{"name": "normal", "scale": 0.0}, {"name": "laplace", "weight": -1.0}, {"name": "poisson"},
              {"scale": 1.0}, {"name": "bernoulli", "scale": 1.0}],
)  # fmt: skip
def test_what_is_no_likelihood_is_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Likelihood).validate_python(value)
