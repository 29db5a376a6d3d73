"""FedAvg: local SGD and the sample-weighted mean.

Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017, algorithm 1.
"""

from raysim.algorithms.base import Algorithm


class FedAvg(Algorithm):
    """Plain local steps, plain sample-weighted mean."""
