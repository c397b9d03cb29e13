"""Words in, calls out: the commands of `dep`, one module each."""
