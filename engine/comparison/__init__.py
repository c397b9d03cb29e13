"""Sets of picks against each other: what several found, and what only one did."""
