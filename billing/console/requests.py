"""One request of a page: who asks, for what, and what a page is answered with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import HTMLResponse, RedirectResponse, Response

from billing.errors import BadInput
from billing.flows.service.api_keys import Key, Scope
from billing.flows.service.console_sessions import actor_of
from billing.rules.actor import Actor

if TYPE_CHECKING:
    from billing.console.console import Console

HOME: Final = "/console"
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who is logged in: their key, and the token of their session."""

    key: Key
    token: str

    @property
    def name(self) -> str:
        """The name of the key."""
        return self.key.name

    @property
    def roles(self) -> str:
        """What they are, in words."""
        return ", ".join(self.key.roles) or "viewer"

    @property
    def actor(self) -> Actor:
        """The actor, as histories and the audit log name them."""
        return actor_of(self.key)

    def may(self, scope: str) -> bool:
        """Tell whether they have a scope."""
        return self.key.may(Scope(scope))


class Parameters:
    """The parameters of a query or the fields of a form."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = tuple((name, value.strip()) for name, value in pairs)

    def get(self, name: str) -> str:
        """Return a value; empty where it is missing. Raises: BadInput when it comes twice."""
        found = self.all(name)
        if len(found) > 1:
            raise BadInput("it is given more than once", where=name)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        """Return every value of a name, in order."""
        return [value for known, value in self.pairs if known == name]

    def only(self, *names: str) -> None:
        """Check that there are no others. Raises: BadInput."""
        for name, _ in self.pairs:
            if name not in names:
                raise BadInput("this page knows no such parameter", where=name)


@dataclass(frozen=True)
class PageRequest:
    """What a handler works with."""

    console: "Console"
    person: Person
    url: str
    path: Mapping[str, str]
    query: Parameters
    form: Parameters

    @cached_property
    def now(self) -> datetime:
        """Domain time of this request."""
        return self.console.runtime.clock.now()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection for reading."""
        with self.console.runtime.engine.connect() as conn:
            yield conn

    def page(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """Answer with a page."""
        return HTMLResponse(
            self.console.render(template, person=self.person, url=self.url, now=self.now, **values),
            status,
        )


def go(path: str, **query: str) -> Response:
    """Answer with another page's address, to be opened by GET."""
    asked = urlencode({name: value for name, value in query.items() if value})
    return RedirectResponse(f"{path}?{asked}" if asked else path, 303)


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A route: what it needs, and who answers. `path` begins behind `HOME`."""

    method: Literal["GET", "POST"]
    path: str
    needs: Scope
    handle: Callable[[PageRequest], Response]
