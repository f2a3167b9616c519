"""Endings of image files and words that name splits, the same for converters, datasets and checks.

Pure: no array library and no framework is imported.
"""

# What training reads; the converters write these in lower case.
IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# Label images are rewritten as PNG, so a format that training does not read is fine for them.
LABEL_ENDINGS = (*IMAGE_ENDINGS, '.gif')

SPLITS = ('train', 'val', 'test')
SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


def split_of_word(word: str) -> str | None:
    """The split that a word means in any case: ``Valid`` and ``validation`` are ``val``."""
    return SPLIT_WORDS.get(word.lower())
