"""Tomograms in every format that dep reads; `registry` opens them."""
