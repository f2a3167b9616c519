"""PASCAL-Context: the 59 classes in training order, that is sorted by their id among all 459."""

from openseg_plugin.datasets.classes import colors, names, numbers

CLASSES = names(
    """
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus,
    cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence,
    floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse,
    person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow,
    sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood
    """
)
PALETTE = colors(
    """
    b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d 787846
    08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 0907e6
    dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 ffc207
    ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 ff1f00
    ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff
    """
)
# Id among the 459 categories of the full annotation, per class.
IDS_459 = numbers(
    """
    2 9 18 19 22 23 25 31 33 34 44 45 46 59 65 68 72 80 85 98 104 105 113 115 144 158 159 162
    187 189 207 220 232 258 259 260 284 295 296 308 324 326 347 349 354 355 360 366 368 397 415
    416 420 424 427 440 445 454 458
    """
)
# Value in the files of 59_context_labels, per class.
IDS_59_LABELS = numbers(
    """
    1 21 22 52 23 2 3 4 24 5 25 6 26 7 8 27 9 28 29 10 30 31 12 32 33 34 35 36 37 38 13 39 40 14
    41 42 15 43 44 16 45 46 17 47 48 49 50 51 18 11 53 19 54 55 20 56 57 58 59
    """
)
