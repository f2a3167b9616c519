"""PASCAL VOC 2012 segmentation: background and 20 classes."""

from openseg_plugin.datasets.classes import colors, names

CLASSES = names(
    """
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable,
    dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
    """
)
PALETTE = colors(
    """
    000000 800000 008000 808000 000080 800080 008080 808080 400000 c00000 408000 c08000 400080
    c00080 408080 c08080 004000 804000 00c000 80c000 004080
    """
)
