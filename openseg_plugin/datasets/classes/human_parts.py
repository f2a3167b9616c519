"""Human parsing: LIP, CIHP (both 20 classes) and ATR (18 classes)."""

from openseg_plugin.datasets.classes import colors, names

LIP_CLASSES = names(
    """
    Background, Hat, Hair, Glove, Sunglasses, UpperClothes, Dress, Coat, Socks, Pants,
    Jumpsuits, Scarf, Skirt, Face, Left-arm, Right-arm, Left-leg, Right-leg, Left-shoe,
    Right-shoe
    """
)
CIHP_CLASSES = names(
    """
    Background, Hat, Hair, Glove, Sunglasses, UpperClothes, Dress, Coat, Socks, Pants,
    Torso-skin, Scarf, Skirt, Face, Left-arm, Right-arm, Left-leg, Right-leg, Left-shoe,
    Right-shoe
    """
)
PALETTE = colors(
    """
    000000 800000 ff0000 005500 aa0033 ff5500 000055 0077dd 555500 005555 553300 345680 008000
    0000ff 33aadd 00ffff 55ffaa aaff55 ffff00 ffaa00
    """
)
# Left and right parts, which change places when an image is flipped.
FLIP_PAIRS = ((14, 15), (16, 17), (18, 19))

ATR_CLASSES = names(
    """
    background, hat, hair, sunglass, upper-clothes, skirt, pants, dress, belt, left-shoe,
    right-shoe, face, left-leg, right-leg, left-arm, right-arm, bag, scarf
    """
)
ATR_FLIP_PAIRS = ((9, 10), (12, 13), (14, 15))
# LIP class of each ATR class; LIP has neither belt nor bag.
ATR_TO_LIP = (0, 1, 2, 4, 5, 12, 9, 6, 255, 18, 19, 13, 16, 17, 14, 15, 255, 11)
