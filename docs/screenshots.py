"""Screenshots of pages for the documentation: python docs/screenshots.py REPORT [COMPARISON].

REPORT is a folder of "openseg test --report", such as the quickstart's, COMPARISON one of
"openseg report A B". Needs Chromium with its driver, and the package selenium; writes
docs/report_*.png.
"""

import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver

DOCS = Path(__file__).parent
ARGUMENTS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--window-size=1400,1000',
)


def main(report: Path, comparison: Path | None = None) -> None:
    """Writes one image per part of the pages."""
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for argument in (*ARGUMENTS, f'--user-data-dir={profile}'):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options)
        try:
            shoot_report(driver, report)
            if comparison is not None:
                shoot_comparison(driver, comparison)
        finally:
            driver.quit()


def shoot_report(driver: webdriver.Chrome, report: Path) -> None:
    """Overview, confusion with an opened cell, and one image."""
    driver.get((report / 'index.html').absolute().as_uri())
    save(driver, 'report_overview')
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


def show(driver: webdriver.Chrome, section: str) -> None:
    """Scrolls a section to the top."""
    driver.execute_script(f'document.getElementById("{section}").scrollIntoView()')


def save(driver: webdriver.Chrome, name: str) -> None:
    """Writes what is seen once images had time to load."""
    time.sleep(2)
    driver.save_screenshot(str(DOCS / f'{name}.png'))


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
