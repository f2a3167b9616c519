"""Training loop, exact resume and the random state of a run."""
