"""Coordinates and tomograms in, a checkpoint out."""
