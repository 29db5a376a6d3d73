"""The report as one file for a browser: no network, no other files."""
