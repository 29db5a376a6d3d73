"""Layers with a client axis and the networks made of them."""
