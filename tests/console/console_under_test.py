"""A console in a world, and people who log in to it: real HTTP, with what browsers send."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser

import requests
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from billing.config import ApiSettings, ConsoleSettings
from billing.console.serving import ConsoleServer
from billing.flows.service import api_keys
from billing.flows.service.api_keys import PersonRole, Scope
from billing.rules.actor import Actor, ActorKind
from billing.workers.runtime.metrics import ProcessMetrics
from tests.scenarios.world import World, WorldRuntime
from tests.waiting import PATIENCE

PEPPER = "a pepper of the tests, long enough to be one"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}


class Reader(HTMLParser):
    """Reads what a page shows: its text, links, forms and tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.fields: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.errors: list[str] = []
        self._texts: list[str] = []
        self._cells: list[str] | None = None
        self._link: str | None = None
        self._skipped = 0
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self._texts)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "style"):
            self._skipped += 1
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th") and self._cells is not None:
            self._cells.append("")
        if tag == "a":
            self._link = given.get("href", "")
        if tag in ("input", "textarea", "select") and "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._skipped -= 1
        if tag == "tr" and self._cells is not None:
            self.rows.append([re.sub(r"\s+", " ", cell).strip() for cell in self._cells])
            self._cells = None
        if tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        self._texts.append(data)
        if self._cells:
            self._cells[-1] += data
        if self._link is not None and data.strip():
            self.links.append((data.strip(), self._link))

    def link(self, words: str) -> str:
        """Return where the link with these words leads."""
        (found,) = {href for text, href in self.links if text == words}
        return found


@dataclass
class Browser:
    """One person at a browser, or a stranger without a session."""

    base: str
    key: str = ""
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.http.trust_env = False
        self.http.headers.update(SAME_ORIGIN)

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.http.get(
            self.base + path, headers=headers, timeout=PATIENCE, allow_redirects=False
        )

    def post(
        self,
        path: str,
        form: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> requests.Response:
        return self.http.post(
            self.base + path,
            data=form or {"": ""},
            headers=headers or {},
            timeout=PATIENCE,
            allow_redirects=False,
        )

    def log_in(self) -> requests.Response:
        return self.post("/console/login", {"key": self.key, "next": "/console"})

    def page(self, path: str) -> Reader:
        """Open a page that has to be there."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, Reader(answer.text).text)
        return Reader(answer.text)


class ConsoleUnderTest:
    """A running console in a world of its own."""

    def __init__(self, world: World, **settings: object) -> None:
        self.world = world
        console = ConsoleSettings.model_validate({"port": 0, **settings})
        api = ApiSettings.model_validate({"pepper": SecretStr(PEPPER)})
        given = world.runtime.settings.model_copy(update={"console": console, "api": api})
        self.runtime = WorldRuntime(given, world=world)
        self.registry = CollectorRegistry()
        self.server = ConsoleServer(self.runtime, ProcessMetrics(self.registry, "console", "0"))
        self._people: list[Browser] = []
        self._thread = threading.Thread(target=self.server.run)

    def open(self) -> None:
        self._thread.start()
        self.stranger().get("/console/login")  # it answers

    def close(self) -> None:
        for person in self._people:
            person.http.close()
        self.server.stop()
        self._thread.join()
        self.runtime.close()

    def key(self, *scopes: Scope, name: str = "ann") -> tuple[str, str]:
        """Make a key and return its id and the whole of it."""
        return api_keys.create(
            self.world.engine,
            name=name,
            scopes=scopes,
            pepper=PEPPER,
            wall=self.world.wall,
            actor=Actor(ActorKind.CLI, "test"),
        )

    def revoke(self, key_id: str) -> None:
        api_keys.revoke(
            self.world.engine, key_id, wall=self.world.wall, actor=Actor(ActorKind.CLI), why="gone"
        )

    def stranger(self, key: str = "") -> Browser:
        browser = Browser(self.server.base, key)
        self._people.append(browser)
        return browser

    def person(self, role: PersonRole = PersonRole.ADMIN, name: str = "ann") -> Browser:
        """Log a person in."""
        browser = self.stranger(self.key(*role.scopes, name=name)[1])
        answer = browser.log_in()
        assert answer.status_code == 303, Reader(answer.text).text
        return browser

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@contextmanager
def running_console(world: World, **settings: object) -> Iterator[ConsoleUnderTest]:
    """Open an console and close it."""
    console = ConsoleUnderTest(world, **settings)
    try:
        console.open()
        yield console
    finally:
        console.close()
