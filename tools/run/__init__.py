"""A run's parts: its flags, its inputs, its training state, its scores, its output folder."""
