"""A checkpoint in, a model file out."""
