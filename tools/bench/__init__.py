"""The parts of tools/benchmark.py: contenders in processes of their own, and what comes of their turns."""
