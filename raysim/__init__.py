"""raysim: multimodal federated learning on Ray when clients lack modalities."""

__version__ = "0.1.0"
