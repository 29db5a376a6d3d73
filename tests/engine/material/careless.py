"""A method and an algorithm that draw from the global generators wherever their code runs."""

import random

import numpy as np
import torch
from toys import Number, Toy, half_square

from raysim.algorithms.base import Algorithm
from raysim.method import Compute, Derive, Group, Objective, Phase, Train


def noise():
    """One number of all three generators."""
    return float(torch.rand(())) + float(np.random.rand()) + random.random()


class Careless(Toy):
    def modules(self, task):
        group = Group(Number())
        torch.nn.init.constant_(group.net.value, noise())
        return {"w": group, "v": Group(Number())}

    def init_state(self, client, task):
        return {"mark": torch.tensor([noise()])}

    def phases(self, task):
        stages = (
            Compute("mark", self.mark),
            Train("w", (Objective(("w",), self.towards),), derive=Derive(self.targets)),
            Train("v", (Objective(("v",), self.towards_v),), epochs=2),
        )
        return (Phase("train", stages),)

    def mark(self, nets, batch):
        return {"mark": batch.state["mark"] + noise()}

    def targets(self, nets, batch):
        return {"target": batch.x["x"][..., 0] + noise()}

    def towards(self, nets, batch):
        return half_square(batch, nets["w"]() - batch.columns["target"] * torch.rand(()) - batch.state["mark"])

    def towards_v(self, nets, batch):
        return half_square(batch, nets["v"]() - batch.x["x"][..., 0] - torch.randn(batch.x["x"].shape[:-1]) * noise())

    def predict(self, nets, batch):
        return super().predict(nets, batch) * noise()

    def offer(self, nets, batch):
        return {"w": noise()}

    def select(self, offers, clock, memory):
        first = sorted(offers, key=lambda client: offers[client]["w"])
        return {c: ("w", "v")[: 1 + (noise() > 1.5)] for c in first[:3]}, {}


class Noisy(Algorithm):
    def server(self, received, state):
        return received.x + received.mean + 0.01 * torch.randn(len(received.x)) * np.random.rand(), state
