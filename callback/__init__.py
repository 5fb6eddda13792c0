"""What happens around a training step: optimizers, schedules, checkpoints, progress, records."""
