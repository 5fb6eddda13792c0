"""Data: tasks and their files, examples → token ids, batches, metrics."""
