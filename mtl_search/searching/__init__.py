"""A search from its beginning to its end."""
