"""Stands in for mrcfile, where it is not installed: no MRC file can be read.

`dep.engine` imports its table of the header. What the check picks are arrays.
"""
