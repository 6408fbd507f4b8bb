"""Does trainings: in this process, or on Ray Tune workers."""
