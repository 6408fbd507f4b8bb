"""What the other rooms stand on: helpers that know nothing of multi-task learning."""
