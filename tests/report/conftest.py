"""Fixtures of the tests of pages."""

from page_browser import axe, browser

__all__ = ['axe', 'browser']
