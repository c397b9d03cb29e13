"""For `hypothesis.extra.numpy`."""
