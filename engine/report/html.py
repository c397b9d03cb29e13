"""HTML that escapes by itself: what is not known to be markup becomes text."""

import json
import re
from html import escape
from typing import Any

# Elements without content, whose end tag is not written.
_VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})
# No letters: C0 and C1 controls but for tab and newline, and marks that turn the
# direction of writing, by which one name can look like another.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class Html(str):
    """Markup, to be taken as it is; any other text is escaped."""

    __slots__ = ()


Child = str | None | list["Child"]


def text(words: str) -> Html:
    """Escape text, the quotes included; what cannot be shown is spelt out."""
    seen = _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", words)
    # A file name that is not UTF-8 reaches Python with lone surrogates.
    whole = seen.encode("utf-8", "backslashreplace").decode("utf-8")
    return Html(escape(whole, quote=True))


def join(*children: Child) -> Html:
    """Put children behind each other; None is nothing."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, list):
            parts.append(join(*child))
        else:
            parts.append(child if isinstance(child, Html) else text(child))
    return Html("".join(parts))


def tag(
    name: str,
    /,
    *children: Child,
    **attributes: str | float | bool | None,
) -> Html:
    """Write an element.

    Parameters
    ----------
    name
        Of the element.
    *children
        Its content.
    **attributes
        ``_`` stands for ``-``, a ``_`` at the end is dropped (``class_``); True is an
        attribute without a value, False and None are none.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{text(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def data(document: Any, **attributes: str) -> Html:  # noqa: ANN401 - what JSON holds
    """Write a block of JSON that no markup in its strings can end."""
    words = json.dumps(document, separators=(",", ":"))
    for letter in "<>&":
        words = words.replace(letter, f"\\u{ord(letter):04x}")
    return tag("script", Html(words), type="application/json", **attributes)
