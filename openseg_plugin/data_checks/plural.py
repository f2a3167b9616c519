"""Numbers in sentences: '1 label has', '2 labels have'."""


def several(number: int, one: str, many: str = '') -> str:
    """'1 label', '2 labels'; ``many`` where the plural is not made with s."""
    return f'{number} {one if number == 1 else many or one + "s"}'


def verb(number: int, one: str, many: str) -> str:
    """The form of a word that goes with a number: 'has' or 'have', 'it' or 'them'."""
    return one if number == 1 else many
