"""Fixtures of the tests of the page that runs a model."""

from page_browser import browser

__all__ = ['browser']
