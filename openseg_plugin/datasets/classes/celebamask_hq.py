"""CelebAMask-HQ: background and the 18 attributes in painting order."""

from openseg_plugin.datasets.classes import colors, names

CLASSES = names(
    """
    background, skin, nose, eye_g, l_eye, r_eye, l_brow, r_brow, l_ear, r_ear, mouth, u_lip,
    l_lip, hair, hat, ear_r, neck_l, neck, cloth
    """
)
PALETTE = colors(
    """
    000000 cc0000 4c9900 cccc00 3333ff cc00cc 00ffff ffcccc 663300 ff0000 66cc00 ffff00 000099
    0000cc ff3399 00cccc 003300 ff9933 00cc00
    """
)
# The eyes, brows and ears: l_ and r_ change places when an image is flipped; u_lip, l_lip do not.
FLIP_PAIRS = ((4, 5), (6, 7), (8, 9))
