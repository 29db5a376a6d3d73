"""A first scenario for a dataset and a method."""
