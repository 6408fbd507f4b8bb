"""What is shown of a run: pages, figures, drawings."""
