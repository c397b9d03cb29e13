"""A tomogram and a model in, picks out."""
