"""The round loop and its executors, in-process and on Ray."""
