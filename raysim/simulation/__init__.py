"""One trial: its rounds, state and checkpoints. Knows no Ray."""
