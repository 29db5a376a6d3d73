"""Events and the sinks that render them."""
