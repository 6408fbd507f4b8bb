"""What can be chosen, and how it is written down: architectures, banks, spaces, experiments."""
