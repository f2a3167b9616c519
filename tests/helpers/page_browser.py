"""A real Chromium without a window, driven as a person would.

Needs Chromium and its driver (Debian: chromium, chromium-driver) and the package selenium; tests
say skipped where one of them is missing. ``AXE`` may name axe-core's ``axe.min.js``.
"""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

_ARGUMENTS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--window-size=1400,1000',
    # a camera that shows a test image, and is allowed
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
)


class Browser:
    """A window with what a test needs; ``driver`` is selenium's."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, page: Path | str) -> None:
        """Opens a file from disk, or an address, with empty logs."""
        for kind in ('browser', 'performance'):
            self.driver.get_log(kind)
        self.driver.get(page if isinstance(page, str) else page.absolute().as_uri())

    def all(self, selector: str) -> list:
        """Elements of a CSS selector."""
        return self.driver.find_elements('css selector', selector)

    def one(self, selector: str):
        """The first element of a CSS selector."""
        return self.driver.find_element('css selector', selector)

    def run(self, script: str, *arguments):
        """Result of JavaScript."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments, seconds: float = 20):
        """Waits until a script returns something true, and returns that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = self.run(script, *arguments)
            if result:
                return result
            time.sleep(0.05)
        raise AssertionError(f'this did not become true: {script}')

    def set_value(self, selector: str, value) -> None:
        """Sets an input and tells the page."""
        self.run(
            'const one = document.querySelector(arguments[0]); one.value = arguments[1];'
            'for (const kind of ["input", "change"])'
            ' one.dispatchEvent(new Event(kind, {bubbles: true}));',
            selector,
            value,
        )

    def complaints(self, *, own: str = 'file:') -> list[str]:
        """Messages of the console, and requests for anything but data and what starts with own."""
        found = [entry['message'] for entry in self.driver.get_log('browser')]
        for entry in self.driver.get_log('performance'):
            message = json.loads(entry['message'])['message']
            if message['method'] == 'Network.requestWillBeSent':
                url = message['params']['request']['url']
                if not url.startswith((own, 'data:', 'blob:', 'chrome:')):
                    found.append(f'request for {url}')
        return found


@pytest.fixture(scope='session')
def browser(tmp_path_factory):
    """One window for all tests of a process."""
    webdriver = pytest.importorskip('selenium.webdriver', reason='needs the package selenium')
    names = ('chromium', 'chromium-browser', 'google-chrome')
    binary = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which('chromedriver')
    if binary is None or driver is None:
        pytest.skip('needs chromium and chromedriver')
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (*_ARGUMENTS, f'--user-data-dir={tmp_path_factory.mktemp("browser")}'):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    service = webdriver.ChromeService(driver)
    window = webdriver.Chrome(options=options, service=service)
    yield Browser(window)
    window.quit()


@pytest.fixture(scope='session')
def axe() -> str:
    """Source of axe-core."""
    path = os.environ.get('AXE', '')
    if not os.path.isfile(path):
        pytest.skip('needs axe-core: AXE=.../axe.min.js')
    return Path(path).read_text(encoding='utf-8')
