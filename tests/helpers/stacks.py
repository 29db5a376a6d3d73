"""Several modules of one kind as one with a client axis."""

import copy

import torch
from torch import nn


def stacked(modules):
    """One module with the parameters of all, put in place as the engine does it."""
    joint = copy.deepcopy(modules[0])
    for name, part in joint.named_modules():
        for key in part._parameters:
            parameters = [m.get_submodule(name)._parameters[key].detach() for m in modules]
            part._parameters[key] = nn.Parameter(torch.stack(parameters))
    return joint
