"""A run's folder: what stands in it, who writes it, what it was made with."""
