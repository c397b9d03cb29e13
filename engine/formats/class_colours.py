"""Colours of classes, for the viewers whose files hold them."""

from dep.engine.slices import COLOURS

SHADE = 0.45  # how far each next round of the palette goes towards white, then black


def colour(number: int) -> tuple[float, float, float]:
    """Give red, green and blue, from 0 to 1, of a class by its number from 0.

    The palette of the pictures first; where there are more classes, its lighter and
    then its darker shades, so that 21 classes are told apart.
    """
    text = COLOURS[number % len(COLOURS)].removeprefix("#")
    shade = number // len(COLOURS) % 3
    mixed, share = (1.0 if shade == 1 else 0.0), (SHADE if shade else 0.0)
    red, green, blue = (
        int(text[at : at + 2], 16) / 255 * (1 - share) + mixed * share
        for at in (0, 2, 4)
    )
    return red, green, blue
