"""A run's parts: its flags, inputs, training state, scores and output folder."""
