"""Commands, each a module here (python -m tools.NAME --help), and the rooms that hold their parts."""
