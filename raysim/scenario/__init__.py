"""Scenario files: schema, YAML with line numbers, grids and trials."""
