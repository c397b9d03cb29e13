"""The elements of a small XML file, read without what makes XML dangerous.

Document types and entities are refused: no format of coordinates has them, and they are
how an XML file makes a reader load other files or fill the memory.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from dep.engine.errors import PicksError


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its name, attributes, and where it lies.

    Attributes
    ----------
    name : str
        Of the tag.
    attributes : dict of str to str
        As they are written.
    line : int
        Where it begins, from 1.
    depth : int
        0 for the outermost.
    """

    name: str
    attributes: dict[str, str]
    line: int
    depth: int


def elements(path: Path, roots: tuple[str, ...]) -> list[Element]:
    """Read the elements of an XML file in their order.

    Raises
    ------
    PicksError
        Not XML (with its line), one with a document type or entities, or one whose
        outermost element is none of `roots`.
    OSError
        It cannot be read.
    """
    found: list[Element] = []
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        line = parser.CurrentLineNumber
        if depth == 0 and name not in roots:
            wanted = " or ".join(f"<{root}>" for root in roots)
            message = f"{path}: line {line}: expected {wanted}, found <{name[:60]}>"
            raise PicksError(message)
        found.append(Element(name, attributes, line, depth))
        depth += 1

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_declaration: object) -> None:
        message = (
            f"{path}: line {parser.CurrentLineNumber}: has a document type "
            "(<!DOCTYPE>), which files of coordinates have not and which is not read, "
            "for safety; remove it"
        )
        raise PicksError(message)

    data = path.read_bytes()
    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        message = (
            f"{path}: line {error.lineno}: not XML ({expat.ErrorString(error.code)})"
        )
        raise PicksError(message) from error
    except (LookupError, ValueError) as error:  # an encoding that Python has not
        message = f"{path}: line {parser.CurrentLineNumber}: not XML ({error})"
        raise PicksError(message) from error
    return found


def quoted(text: str) -> str:
    """Write a text as the value of an attribute.

    Raises
    ------
    PicksError
        It holds characters that no XML file can hold.
    """
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text):
        message = f"the name {text[:60]!r} holds characters that no XML file can hold"
        raise PicksError(message)
    for letter, entity in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&quot;"),
        ("'", "&apos;"),
    ):
        text = text.replace(letter, entity)
    return f'"{text}"'
