"""Picks against the truth of one tomogram or many: figures, curves, rules, intervals.

`dep.engine.metrics` is the matcher; here is what is made of its matches.
"""
