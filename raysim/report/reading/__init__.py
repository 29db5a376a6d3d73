"""Whose a study's folder is, and what it says."""
