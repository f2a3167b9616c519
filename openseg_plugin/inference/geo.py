"""Labels as GeoTIFF with the georeference of their image; needs the extra ``[geo]`` (rasterio)."""

from typing import Any

import numpy as np

from openseg_plugin.errors import DataError, DependencyError


def require_rasterio() -> Any:
    """The package rasterio.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import rasterio
    except ImportError as error:
        raise DependencyError(
            '--save geotiff needs the package rasterio, which is not installed: pip install '
            'openseg_plugin[geo]'
        ) from error
    return rasterio


def geotiff(labels: np.ndarray, palette: np.ndarray, image: str | None) -> bytes:
    """A tiled, compressed GeoTIFF of class ids where the image lies on the ground.

    Args:
        labels: (H, W) uint8 or uint16.
        palette: (K, 3) uint8; in the file where the labels are uint8.
        image: path of the image, whose coordinate system and transform are taken over.

    Raises:
        DataError: the image cannot be opened, or has another size than the labels.
        DependencyError: rasterio is not installed.
    """
    rasterio = require_rasterio()
    try:
        with rasterio.open(image) as source:
            place = dict(crs=source.crs, transform=source.transform)
            size = (source.height, source.width)
    except (rasterio.errors.RasterioError, TypeError) as error:
        raise DataError(f'{image} has no georeference that can be read ({error})') from error
    if size != labels.shape:
        raise DataError(
            f'{image} is stored with {size[0]}x{size[1]} pixels and its labels have '
            f'{labels.shape[0]}x{labels.shape[1]}: use --ignore-exif'
        )
    profile = dict(driver='GTiff', count=1, dtype=labels.dtype.name, compress='deflate', **place)
    with rasterio.MemoryFile() as memory:
        with memory.open(height=size[0], width=size[1], tiled=True, **profile) as target:
            target.write(labels, 1)
            if labels.dtype == np.uint8:
                colours = {k: (*map(int, colour), 255) for k, colour in enumerate(palette[:256])}
                target.write_colormap(1, colours)
        return memory.read()
