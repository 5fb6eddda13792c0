"""Reading what runs left: their records, side by side and as a page."""
