"""Fixtures of the tests of pages."""

from .browser import axe, browser

__all__ = ['axe', 'browser']
