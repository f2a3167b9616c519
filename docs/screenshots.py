"""Images for the documentation: python docs/screenshots.py REPORT [COMPARISON].

"python docs/screenshots.py --page ADDRESS IMAGE" is the page that runs a model (openseg export
--web, served at ADDRESS), with an image.

"python docs/screenshots.py --camvid REPORT CURVES" is the page about CamVid: predicted label maps,
confusion and curves, without its photographs, which belong to others.

REPORT is a folder of "openseg test --report", such as the quickstart's, COMPARISON one of
"openseg report A B". Needs Chromium with its driver, and the package selenium; writes
docs/quickstart.jpg (scenes of the report), docs/report_*.jpg and docs/page.jpg.
"""

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

from openseg_plugin.report.drawing import Tile, class_legend, draw_row, draw_sheet
from openseg_plugin.report.panel import draw_tiles
from openseg_plugin.report.results import image_metrics, read_results
from openseg_plugin.utils.images import read_label

DOCS = Path(__file__).parent
ARGUMENTS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--window-size=1400,1000',
)


def main(*arguments: str) -> None:
    """Writes one image per part of the pages."""
    with window() as driver:
        if arguments[0] == '--page':
            shoot_page(driver, *arguments[1:])
            return
        if arguments[0] == '--camvid':
            report, curves = map(Path, arguments[1:])
            draw_predictions(report)
            driver.get((report / 'index.html').absolute().as_uri())
            # without the images that follow it
            shot = driver.find_element('id', 'confusion').screenshot_as_png
            store(shot, 'camvid_confusion')
            plot = Image.open(curves / 'curves.png').convert('RGB')
            plot.thumbnail((1500, 1500))
            plot.save(DOCS / 'camvid_curves.jpg', quality=85)
            return
        draw_scenes(Path(arguments[0]))
        shoot_report(driver, Path(arguments[0]))
        for comparison in arguments[1:]:
            shoot_comparison(driver, Path(comparison))


def draw_scenes(report: Path, *, number: int = 4) -> None:
    """Scenes around the middle of the ranking, neither the best nor the worst."""
    results = read_results(report)
    ranked = sorted(results.images, key=lambda one: image_metrics(one)['mIoU'])
    first = (len(ranked) - number) // 2
    rows, maps, totals = [], [], results.totals().confusion.sum(axis=1)
    for one in ranked[first : first + number]:
        assert one.image and one.label and one.prediction
        image = np.asarray(Image.open(one.image).convert('RGB'))
        label, prediction = read_label(one.label), read_label(one.prediction)
        tiles, _ = draw_tiles(
            *(image, label, prediction, results.palette, results.classes),
            ignore_index=results.ignore_index,
            frequency=totals,
        )
        rows.append(draw_row(tiles))
        maps += [label, prediction]
    legend = class_legend(maps, results.palette, results.classes, width=rows[0].shape[1])
    sheet = Image.fromarray(draw_sheet([*rows, legend]))
    sheet.thumbnail((1500, 1500))
    sheet.save(DOCS / 'quickstart.jpg', quality=85)


def draw_predictions(report: Path, *, number: int = 6) -> None:
    """Label maps of images from the best to the worst, three in a row."""
    results = read_results(report)
    ranked = sorted(results.images, key=lambda one: -image_metrics(one)['mIoU'])
    chosen = [ranked[(len(ranked) - 1) * k // (number - 1)] for k in range(number)]
    palette = np.asarray(results.palette, np.uint8)
    maps, tiles = [], []
    for one in chosen:
        assert one.prediction
        maps.append(read_label(one.prediction))
        caption = f'mIoU of this image {100 * image_metrics(one)["mIoU"]:.1f}'
        tiles.append(Tile(caption, palette[maps[-1]]))
    rows = [draw_row(tiles[k : k + 3]) for k in range(0, number, 3)]
    legend = class_legend(maps, results.palette, results.classes, width=rows[0].shape[1])
    Image.fromarray(draw_sheet([*rows, legend])).save(DOCS / 'camvid_labels.jpg', quality=85)


@contextmanager
def window() -> Iterator[webdriver.Chrome]:
    """A browser until the end of the block."""
    options = webdriver.ChromeOptions()
    # both are named, or selenium asks the network for them
    options.binary_location = shutil.which('chromium') or ''
    service = webdriver.ChromeService(shutil.which('chromedriver'))
    with tempfile.TemporaryDirectory() as profile:
        for argument in (*ARGUMENTS, f'--user-data-dir={profile}'):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


def shoot_report(driver: webdriver.Chrome, report: Path) -> None:
    """Confusion with an opened cell, and one image."""
    driver.get((report / 'index.html').absolute().as_uri())
    driver.find_element('css selector', '#largest button').click()
    show(driver, 'confusion')
    save(driver, 'report_confusion')
    driver.find_element('css selector', '#gallery .card').click()
    save(driver, 'report_image')
    driver.find_element('id', 'close').click()


def shoot_comparison(driver: webdriver.Chrome, comparison: Path) -> None:
    """The image that changed most, with the wipe in its middle."""
    driver.get((comparison / 'index.html').absolute().as_uri())
    driver.find_element('css selector', '#gallery .card').click()
    save(driver, 'report_comparison')


def shoot_page(driver: webdriver.Chrome, address: str, image: str) -> None:
    """The page with an image and the class below the pointer."""
    driver.get(address)
    state = 'return document.getElementById("app").dataset.state'
    wait = WebDriverWait(driver, 300)
    wait.until(lambda _: driver.execute_script(state) == 'ready')
    driver.find_element('id', 'file').send_keys(str(Path(image).absolute()))
    wait.until(lambda _: driver.execute_script(state) == 'done')
    frame = driver.find_element('id', 'frame')
    ActionChains(driver).move_to_element_with_offset(frame, 120, -40).perform()
    save(driver, 'page')


def show(driver: webdriver.Chrome, section: str) -> None:
    """Scrolls a section to the top."""
    driver.execute_script(f'document.getElementById("{section}").scrollIntoView()')


def save(driver: webdriver.Chrome, name: str) -> None:
    """Writes what is seen once images had time to load."""
    time.sleep(2)
    store(driver.get_screenshot_as_png(), name)


def store(shot: bytes, name: str) -> None:
    """Writes a PNG of the browser as JPEG."""
    image = Image.open(io.BytesIO(shot)).convert('RGB')
    image.save(DOCS / f'{name}.jpg', quality=85)


if __name__ == '__main__':
    main(*sys.argv[1:])
