"""Training of the depth network that refines the untrained multi-view depth of engine ``tracks``."""
