"""Class names, colors and id tables of the datasets, one module per dataset; plain constants.

Long lists are written as text, which the functions here read.
"""


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(','))


def colors(text: str) -> tuple[tuple[int, int, int], ...]:
    """Colors (R, G, B) from words ``rrggbb``."""
    return tuple((int(w[:2], 16), int(w[2:4], 16), int(w[4:], 16)) for w in text.split())


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers separated by blanks."""
    return tuple(int(word) for word in text.split())
