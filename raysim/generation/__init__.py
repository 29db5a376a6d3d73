"""How good what a generator makes is: judges, distances, ranks and colours, all without a model of their making."""
