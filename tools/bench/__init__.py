"""The benchmark's parts: contenders in processes of their own, and what comes of their turns."""
