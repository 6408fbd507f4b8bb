"""Model files that need nothing of this package."""
