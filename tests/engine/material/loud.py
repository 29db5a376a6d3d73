# ruff: noqa: T201
"""A method and an algorithm that print."""

from raysim.algorithms.base import Algorithm
from raysim.method import Method


class Loud(Method):
    def modules(self, task):
        print("modules")
        return super().modules(task)

    def loss(self, nets, batch):
        print("one step\nof client", batch.clients[0].id)
        return super().loss(nets, batch)

    def predict(self, nets, batch):
        if not batch.clients:
            print("predict")
        return super().predict(nets, batch)


class Told(Algorithm):
    def server(self, received, state):
        print("[bold]step[/bold]")
        return super().server(received, state)
