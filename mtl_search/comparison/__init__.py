"""Picks and baselines, trained from scratch and set beside each other."""
