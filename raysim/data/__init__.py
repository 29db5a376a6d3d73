"""Datasets, partitions and missing modalities."""
