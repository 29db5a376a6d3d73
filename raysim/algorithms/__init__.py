"""Federated algorithms: local corrections plus a server step each."""
