"""A real browser: the system's Chromium, driven by Playwright, with the policies of pages on."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from axe_playwright_python import base as axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Page, Playwright, sync_playwright

from tests.console.console_under_test import Browser
from tests.waiting import PATIENCE

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
EXECUTABLE: Final = next((found for name in _NAMES if (found := shutil.which(name))), None)
_OPTIONS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
AXE: Final = Path(axe.__file__).with_name("axe.min.js")
PHONE: Final = {"width": 390, "height": 844}
DESK: Final = {"width": 1280, "height": 900}
KEPT: Final = os.environ.get("CONSOLE_SCREENSHOTS", "")
"""A folder to keep pictures of the pages in."""


@contextmanager
def running() -> Iterator[Chromium]:
    """Run Chromium."""
    with sync_playwright() as playwright:
        yield _launched(playwright)


def _launched(playwright: Playwright) -> Chromium:
    assert EXECUTABLE is not None
    return playwright.chromium.launch(executable_path=EXECUTABLE, args=_OPTIONS)


class Tab:
    """One person's tab: what it complained of is kept."""

    def __init__(
        self,
        chromium: Chromium,
        person: Browser,
        *,
        dark: bool = False,
        phone: bool = False,
        scripts: bool = True,
    ) -> None:
        self.base = person.base
        self._context = chromium.new_context(
            color_scheme="dark" if dark else "light",
            viewport=PHONE if phone else DESK,  # type: ignore[arg-type]
            java_script_enabled=scripts,
            base_url=person.base,
            reduced_motion="reduce",
        )
        self._context.add_cookies(
            [
                {"name": name, "value": value, "url": person.base}
                for name, value in person.http.cookies.items()
            ]
        )
        self._context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(path)
        return self.page

    def violations(self) -> list[str]:
        """Return what axe-core finds on this page."""
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run(document)")
        return [
            f"{each['id']}: {node['html'][:200]} {node['any'][:1]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def overflows(self) -> bool:
        """Tell whether the page is wider than the window."""
        wide: bool = self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth + 1"
        )
        return wide

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page, where pictures are kept."""
        if KEPT:
            self.page.screenshot(path=Path(KEPT) / f"{name}.png", full_page=True)

    def close(self) -> None:
        self._context.close()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)
