"""The one name that dep.engine.mrc asks for."""

HEADER_DTYPE: list[tuple[str, str]] = []  # a header of no fields: reading one fails
