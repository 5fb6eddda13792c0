"""What every command shares: its flags, its errors, its log, the packages it needs. Knows nothing else."""
