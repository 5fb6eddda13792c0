"""What the launchers do around a run: their recipes, the check before, its processes, the report after."""
