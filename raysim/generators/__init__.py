"""Multimodal generators: one file a model, which says its loss and its posterior of what a sample has."""
