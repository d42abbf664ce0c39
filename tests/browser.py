"""Headless Chromium for the tests of pages, driven by Playwright: a window, and its console.

    from tests.browser import needs_browser, window

    pytestmark = needs_browser

    def test_a_page(chromium):  # a fixture of tests/conftest.py, one for each test file
        with window(chromium, 390) as (page, console):
            page.goto("http://127.0.0.1:7860")
            page.click("button")  # all of Playwright's page: locator(), evaluate(), keyboard …
        assert console == []

Windows are different users, who share no cookies. While the fixture is there, ``asyncio.run()``
fails in the tests' own thread; a server belongs into another one, or into another process.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), "")
needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not BROWSER or find_spec("playwright") is None,
        reason="needs Debian's package chromium (or google-chrome) and pip's playwright",
    ),
]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
OTHERS = re.compile(r"(https?|wss?)://(?!127\.|localhost[:/])")  # addresses of other machines
TIMEOUT = 30_000  # ms: of each step


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A running Chromium; it never downloads one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        try:
            yield running
        finally:
            running.close()


@contextmanager
def window(
    browser: Browser, width: int, height: int = 740, **options: Any
) -> Iterator[tuple[Page, list[str]]]:
    """A page of a new user, and its console: every message, uncaught error, and request to another
    machine (which is refused).

    Args:
        width, height: of the page, CSS pixels.
        options: of Playwright's ``new_context``, such as ``has_touch=True``.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(TIMEOUT)
    page, console = context.new_page(), []
    context.route(
        OTHERS, lambda route: (console.append(f"sent: {route.request.url}"), route.abort())
    )
    page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: console.append(f"error: {error}"))
    try:
        yield page, console
    finally:
        context.close()


def outside(page: Page, *, but: str = ".scroll") -> list[str]:
    """Elements that reach beyond the right edge of the window.

    Args:
        but: what may be wider inside, as it scrolls by itself: a CSS selector.
    """
    return page.evaluate(
        """but => [...document.querySelectorAll("body *")].filter(
          e => !e.parentElement.closest(but)
            && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        ).map(e => e.tagName + "." + e.className)""",
        but,
    )
