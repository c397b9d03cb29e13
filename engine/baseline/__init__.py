"""Classical pickers to hold a network against: blobs and templates.

Difference of Gaussians (`DogSettings`) and template matching with locally normalised
cross-correlation (`TemplateSettings`), both in blocks of bounded memory. Needs SciPy
(extra ``baseline``); importing this package does not.
"""

from dep.engine.baseline.dog import Blob, DogSettings
from dep.engine.baseline.picking import pick_baseline
from dep.engine.baseline.template import Template, open_template
from dep.engine.baseline.template_settings import TemplateSettings

__all__ = [
    "Blob",
    "DogSettings",
    "Template",
    "TemplateSettings",
    "open_template",
    "pick_baseline",
]
