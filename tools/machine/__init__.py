"""The machine a run sees: its device, its processes, its memory, and the seeds of its random numbers."""
