"""Words on any terminal and JSON in any encoding, whatever the names of files hold."""

import io
import json
import sys


def to_json(document: object, *, indent: int | None = None, encoding: str) -> str:
    """Write JSON as people read it, or all in ASCII where `encoding` lacks a letter.

    A file name that is not UTF-8 reaches Python with lone surrogates, which no
    encoding has; JSON's escapes keep them too.
    """
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=indent)
    return text


def print_json(document: object) -> None:
    """Write one JSON document on standard output."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(to_json(document, indent=1, encoding=encoding) + "\n")


def is_text(name: str) -> bool:
    """Say whether the name of a file is UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def spell_out_what_the_terminal_lacks() -> None:
    """Let letters that the terminal cannot show appear as escapes, not end the command.

    Such as the Å of the help on a terminal that knows only ASCII.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
