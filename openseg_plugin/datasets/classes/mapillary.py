"""Mapillary Vistas v1.2: 66 labels; the last one, Unlabeled, is often ignored."""

from openseg_plugin.datasets.classes import colors, names

CLASSES = names(
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
PALETTE = colors(
    """
    a52a2a 00c000 c4c4c4 be9999 b4a5b4 5a7896 66669c 8040ff 8c8cc8 aaaaaa faaaa0 606060 e6968c
    804080 6e6e6e f423e8 966464 464646 96785a dc143c ff0000 ff0064 ff00c8 c88080 ffffff 40aa40
    e6a032 4682b4 beffff 98fb98 6b8e23 00aa1e ffff80 fa001e 648cb4 dcdcdc dc8080 de2828 64aa1e
    282828 212121 6480a0 8e0000 466496 d2aa64 999999 808080 000050 faaa1e c0c0c0 dcdc00 8c8c14
    770b20 9600ff 003c64 00008e 00005a 0000e6 005064 804040 00006e 000046 0000c0 202020 780a0a
    000000
    """
)
