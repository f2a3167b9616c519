"""Class names, colors and id tables of the public datasets; plain constants.

Long lists are written as text, which the functions here read.
"""

from typing import NamedTuple


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(','))


def colors(text: str) -> tuple[tuple[int, int, int], ...]:
    """Colors (R, G, B) from words ``rrggbb``."""
    return tuple((int(w[:2], 16), int(w[2:4], 16), int(w[4:], 16)) for w in text.split())


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers separated by blanks."""
    return tuple(int(word) for word in text.split())


# Cityscapes: the 35 labels of the release and the 19 classes of the benchmark.
class CityscapesLabel(NamedTuple):
    """A row of the release's label table.

    Attributes:
        name: as in the polygon files.
        id: value in ``labelIds`` files; -1 is never drawn.
        train_id: class, or 255 for what the benchmark ignores.
        has_instances: whether single objects are numbered.
        color: R, G, B of the color files.
    """

    name: str
    id: int
    train_id: int
    has_instances: bool
    color: tuple[int, int, int]


CITYSCAPES_LABELS = (
    CityscapesLabel('unlabeled', 0, 255, False, (0, 0, 0)),
    CityscapesLabel('ego vehicle', 1, 255, False, (0, 0, 0)),
    CityscapesLabel('rectification border', 2, 255, False, (0, 0, 0)),
    CityscapesLabel('out of roi', 3, 255, False, (0, 0, 0)),
    CityscapesLabel('static', 4, 255, False, (0, 0, 0)),
    CityscapesLabel('dynamic', 5, 255, False, (111, 74, 0)),
    CityscapesLabel('ground', 6, 255, False, (81, 0, 81)),
    CityscapesLabel('road', 7, 0, False, (128, 64, 128)),
    CityscapesLabel('sidewalk', 8, 1, False, (244, 35, 232)),
    CityscapesLabel('parking', 9, 255, False, (250, 170, 160)),
    CityscapesLabel('rail track', 10, 255, False, (230, 150, 140)),
    CityscapesLabel('building', 11, 2, False, (70, 70, 70)),
    CityscapesLabel('wall', 12, 3, False, (102, 102, 156)),
    CityscapesLabel('fence', 13, 4, False, (190, 153, 153)),
    CityscapesLabel('guard rail', 14, 255, False, (180, 165, 180)),
    CityscapesLabel('bridge', 15, 255, False, (150, 100, 100)),
    CityscapesLabel('tunnel', 16, 255, False, (150, 120, 90)),
    CityscapesLabel('pole', 17, 5, False, (153, 153, 153)),
    CityscapesLabel('polegroup', 18, 255, False, (153, 153, 153)),
    CityscapesLabel('traffic light', 19, 6, False, (250, 170, 30)),
    CityscapesLabel('traffic sign', 20, 7, False, (220, 220, 0)),
    CityscapesLabel('vegetation', 21, 8, False, (107, 142, 35)),
    CityscapesLabel('terrain', 22, 9, False, (152, 251, 152)),
    CityscapesLabel('sky', 23, 10, False, (70, 130, 180)),
    CityscapesLabel('person', 24, 11, True, (220, 20, 60)),
    CityscapesLabel('rider', 25, 12, True, (255, 0, 0)),
    CityscapesLabel('car', 26, 13, True, (0, 0, 142)),
    CityscapesLabel('truck', 27, 14, True, (0, 0, 70)),
    CityscapesLabel('bus', 28, 15, True, (0, 60, 100)),
    CityscapesLabel('caravan', 29, 255, True, (0, 0, 90)),
    CityscapesLabel('trailer', 30, 255, True, (0, 0, 110)),
    CityscapesLabel('train', 31, 16, True, (0, 80, 100)),
    CityscapesLabel('motorcycle', 32, 17, True, (0, 0, 230)),
    CityscapesLabel('bicycle', 33, 18, True, (119, 11, 32)),
    CityscapesLabel('license plate', -1, -1, False, (0, 0, 142)),
)
CITYSCAPES_IGNORE = 255
CITYSCAPES_CLASSES = tuple(
    label.name for label in CITYSCAPES_LABELS if 0 <= label.train_id < CITYSCAPES_IGNORE
)
CITYSCAPES_PALETTE = tuple(
    label.color for label in CITYSCAPES_LABELS if 0 <= label.train_id < CITYSCAPES_IGNORE
)
# Label ids in train id order.
CITYSCAPES_TRAIN_IDS = tuple(
    label.id for label in CITYSCAPES_LABELS if 0 <= label.train_id < CITYSCAPES_IGNORE
)

# Mapillary Vistas v1.2: 66 labels; the last one, Unlabeled, is often ignored.
MAPILLARY_CLASSES = names(
    """
    Bird, Ground Animal, Curb, Fence, Guard Rail, Barrier, Wall, Bike Lane, Crosswalk - Plain,
    Curb Cut, Parking, Pedestrian Area, Rail Track, Road, Service Lane, Sidewalk, Bridge,
    Building, Tunnel, Person, Bicyclist, Motorcyclist, Other Rider, Lane Marking - Crosswalk,
    Lane Marking - General, Mountain, Sand, Sky, Snow, Terrain, Vegetation, Water, Banner,
    Bench, Bike Rack, Billboard, Catch Basin, CCTV Camera, Fire Hydrant, Junction Box, Mailbox,
    Manhole, Phone Booth, Pothole, Street Light, Pole, Traffic Sign Frame, Utility Pole,
    Traffic Light, Traffic Sign (Back), Traffic Sign (Front), Trash Can, Bicycle, Boat, Bus,
    Car, Caravan, Motorcycle, On Rails, Other Vehicle, Trailer, Truck, Wheeled Slow, Car Mount,
    Ego Vehicle, Unlabeled
    """
)
MAPILLARY_PALETTE = colors(
    """
    a52a2a 00c000 c4c4c4 be9999 b4a5b4 5a7896 66669c 8040ff 8c8cc8 aaaaaa faaaa0 606060 e6968c
    804080 6e6e6e f423e8 966464 464646 96785a dc143c ff0000 ff0064 ff00c8 c88080 ffffff 40aa40
    e6a032 4682b4 beffff 98fb98 6b8e23 00aa1e ffff80 fa001e 648cb4 dcdcdc dc8080 de2828 64aa1e
    282828 212121 6480a0 8e0000 466496 d2aa64 999999 808080 000050 faaa1e c0c0c0 dcdc00 8c8c14
    770b20 9600ff 003c64 00008e 00005a 0000e6 005064 804040 00006e 000046 0000c0 202020 780a0a
    000000
    """
)

# ADE20K, the 150 classes of the scene parsing benchmark; label k is class k - 1, 0 is no class.
ADE20K_CLASSES = names(
    """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
    person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa,
    shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp,
    bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter, sand,
    sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case,
    pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table,
    toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer,
    swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier,
    awning, streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land,
    bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain,
    conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall,
    tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot,
    animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase,
    traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower,
    radiator, glass, clock, flag
    """
)
ADE20K_PALETTE = colors(
    """
    787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d
    787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0
    0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06
    ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00
    ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70
    00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99
    ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52
    000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00
    08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff
    9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00
    00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8
    005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
    """
)

# COCO-Stuff: 171 classes. Ids of the 10k release are 1..182 with gaps; the 164k ones 0..181.
COCO_STUFF_CLASSES = names(
    """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,
    bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven,
    toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier,
    toothbrush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard,
    carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain,
    desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile,
    floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other,
    hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net,
    paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad,
    river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow,
    solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel,
    tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile,
    wall-wood, water-other, waterdrops, window-blind, window-other, wood
    """
)
COCO_STUFF_PALETTE = colors(
    """
    00c040 00c040 004060 80c0c0 004040 00c0e0 00c0c0 80c040 00c060 80c040 8020c0 0000e0 000040
    00a0c0 800060 8000c0 0020c0 8080e0 0000c0 80a0c0 808000 800020 802000 800080 408020 00a000
    000000 c080a0 002000 008080 4080a0 80a000 008000 c08020 806080 000080 400020 00e080 800000
    c000a0 006080 808080 4000a0 80e080 808040 c00020 806000 8000c0 008020 40e000 000040 8080a0
    406000 0080c0 0080a0 c0e000 008040 808020 c02080 0040c0 000020 40a080 804040 8000a0 402080
    80c0c0 0000a0 c0a080 80c000 800060 c02000 804080 408060 40a000 004000 c080e0 402000 00c080
    4080e0 c0a000 00c000 c08060 c06080 004080 400060 40e080 804000 c000e0 406080 80c080 4000e0
    c0e080 80c040 c00060 c06000 8040c0 008060 00e000 404040 8080e0 006000 40c0c0 0080e0 80e000
    40c040 808060 802080 4000c0 004060 00a080 c00040 8040e0 002080 c080c0 0040e0 80a080 c08000
    804020 802040 c00080 40c020 00a040 400000 c0c0a0 002040 408080 40c0a0 80a040 408000 c0c020
    8060c0 400080 404020 00e0c0 c00000 c040a0 0060c0 c08080 4040a0 80e0c0 c08040 c04020 806040
    c000c0 00c020 40e040 400040 80c0a0 406040 4080c0 00c0a0 c0e040 408040 80c020 c020c0 4040c0
    004020 40a0c0 c04040 8040a0 4020c0 c0c0c0 0040a0 c0a0c0 c0c000 804060 c02040 c04080 40c060
    40a040 404000
    """
)
# Numbers between 1 and 182 that no class has.
COCO_STUFF_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
# Id in the 10k release of each class, in class order.
COCO_STUFF_IDS_10K = tuple(i for i in range(1, 183) if i not in COCO_STUFF_UNUSED_IDS)

# PASCAL-Context: the 59 classes in training order, that is sorted by their id among all 459.
PASCAL_CONTEXT_CLASSES = names(
    """
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus,
    cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence,
    floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse,
    person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow,
    sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood
    """
)
PASCAL_CONTEXT_PALETTE = colors(
    """
    b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d 787846
    08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 0907e6
    dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 ffc207
    ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 ff1f00
    ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff
    """
)
# Id among the 459 categories of the full annotation, per class.
PASCAL_CONTEXT_IDS_459 = numbers(
    """
    2 9 18 19 22 23 25 31 33 34 44 45 46 59 65 68 72 80 85 98 104 105 113 115 144 158 159 162
    187 189 207 220 232 258 259 260 284 295 296 308 324 326 347 349 354 355 360 366 368 397 415
    416 420 424 427 440 445 454 458
    """
)
# Value in the files of 59_context_labels, per class.
PASCAL_CONTEXT_IDS_59_LABELS = numbers(
    """
    1 21 22 52 23 2 3 4 24 5 25 6 26 7 8 27 9 28 29 10 30 31 12 32 33 34 35 36 37 38 13 39 40 14
    41 42 15 43 44 16 45 46 17 47 48 49 50 51 18 11 53 19 54 55 20 56 57 58 59
    """
)

# PASCAL VOC 2012 segmentation: background and 20 classes.
VOC_CLASSES = names(
    """
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable,
    dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
    """
)
VOC_PALETTE = colors(
    """
    000000 800000 008000 808000 000080 800080 008080 808080 400000 c00000 408000 c08000 400080
    c00080 408080 c08080 004000 804000 00c000 80c000 004080
    """
)

# Human parsing: LIP, CIHP (both 20 classes) and ATR (18 classes).
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
HUMAN_PARTS_PALETTE = colors(
    """
    000000 800000 ff0000 005500 aa0033 ff5500 000055 0077dd 555500 005555 553300 345680 008000
    0000ff 33aadd 00ffff 55ffaa aaff55 ffff00 ffaa00
    """
)
# Left and right parts, which change places when an image is flipped.
HUMAN_PARTS_FLIP_PAIRS = ((14, 15), (16, 17), (18, 19))

ATR_CLASSES = names(
    """
    background, hat, hair, sunglass, upper-clothes, skirt, pants, dress, belt, left-shoe,
    right-shoe, face, left-leg, right-leg, left-arm, right-arm, bag, scarf
    """
)
ATR_FLIP_PAIRS = ((9, 10), (12, 13), (14, 15))
# LIP class of each ATR class; LIP has neither belt nor bag.
ATR_TO_LIP = (0, 1, 2, 4, 5, 12, 9, 6, 255, 18, 19, 13, 16, 17, 14, 15, 255, 11)

# CelebAMask-HQ: background and the 18 attributes in painting order.
CELEBAMASK_CLASSES = names(
    """
    background, skin, nose, eye_g, l_eye, r_eye, l_brow, r_brow, l_ear, r_ear, mouth, u_lip,
    l_lip, hair, hat, ear_r, neck_l, neck, cloth
    """
)
CELEBAMASK_PALETTE = colors(
    """
    000000 cc0000 4c9900 cccc00 3333ff cc00cc 00ffff ffcccc 663300 ff0000 66cc00 ffff00 000099
    0000cc ff3399 00cccc 003300 ff9933 00cc00
    """
)
# The eyes, brows and ears: l_ and r_ change places when an image is flipped; u_lip, l_lip do not.
CELEBAMASK_FLIP_PAIRS = ((4, 5), (6, 7), (8, 9))
