"""Picks and baselines, trained from scratch and set beside each other."""

SEEDS = 3
"""Trainings of each entrant where nothing else is said: as many as an interval needs
(:data:`mtl_search.metrics.intervals.FEWEST`)."""
