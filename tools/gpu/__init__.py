"""The parts of tools/check_gpu.py: what a machine with a GPU is asked, and the page that comes of it."""
