"""Tables of pages, lists with filters in their addresses, and the same rows as CSV."""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from billing.console import links, words
from billing.console.requests import ConsolePage, PageRequest
from billing.errors import BadInput
from billing.flows.service.api_keys import Scope

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SHOWN: Final = 50
_A_FETCH: Final = 1_000
_NUMBERS_END: Final = 2**63
# A cell that begins so is a formula to a spreadsheet.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value: its text, where it leads, and how it is marked. `title` is the whole of it.

    What is `whole` isn't broken over lines.
    """

    text: str
    href: str = ""
    tone: str = ""
    title: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class PageTable:
    """Rows under headings; columns named in `numbers` are aligned to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: Collection[str] = ()
    empty: str = "Nothing here."


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition of a list; `read` makes its value of what was typed."""

    name: str
    label: str
    choices: Sequence[str] = ()
    read: Callable[[Connection, str], object] = lambda _, typed: typed

    def value(self, conn: Connection, typed: str) -> object:
        """Return the value, None where nothing was typed. Raises: BadInput."""
        if not typed:
            return None
        if self.choices and typed not in self.choices:
            raise BadInput(f"it is one of {', '.join(self.choices)}", where=self.name)
        return self.read(conn, typed)


@dataclass(frozen=True, slots=True)
class ListPage:
    """A list: the query of its rows, and a row's cells. The newest come first unless `forward`."""

    title: str
    place: str
    headings: Sequence[str]
    read: Callable[..., Sequence[Any]]
    cells: Callable[[Any], Sequence[Cell]]
    filters: Sequence[Filter] = ()
    numbers: Collection[str] = ()
    note: str = ""
    empty: str = "Nothing here."
    forward: bool = False
    always: Mapping[str, object] | None = None
    section: str = ""
    key: Callable[[str], UUID | int] = UUID

    @property
    def cursor(self) -> str:
        """The parameter that says where to read on."""
        return "after" if self.forward else "before"


def pages(listing: ListPage, needs: Scope = Scope.READ) -> tuple[ConsolePage, ConsolePage]:
    """Return the page of a list and that of its CSV."""
    return (
        ConsolePage("GET", f"/{listing.place}", needs, lambda request: show(listing, request)),
        ConsolePage(
            "GET", f"/{listing.place}.csv", needs, lambda request: as_csv(listing, request)
        ),
    )


def show(
    listing: ListPage, request: PageRequest, template: str = "list.html", **values: Any
) -> Response:
    """Answer with one page of a list; `values` are for a template of its own."""
    at = _cursor(listing, request)
    with request.connect() as conn:
        rows = _read(listing, conn, _asked(listing, conn, request), SHOWN + 1, at)
    shown = rows[:SHOWN]
    given = {each.name: request.query.get(each.name) for each in listing.filters}
    more = {**given, listing.cursor: str(shown[-1].id)} if len(rows) > SHOWN else None
    return request.page(
        template,
        **values,
        listing=listing,
        section=listing.section or listing.place,
        given=given,
        shown=PageTable(
            listing.headings, [listing.cells(row) for row in shown], listing.numbers, listing.empty
        ),
        more=None if more is None else links.listed(listing.place, **more),
        first=None if at is None else links.listed(listing.place, **given),
        csv=links.listed(f"{listing.place}.csv", **given),
    )


def as_csv(listing: ListPage, request: PageRequest) -> Response:
    """Answer with every row of a list, read a thousand at a time while it is sent."""
    with request.connect() as conn:
        asked = _asked(listing, conn, request)

    def lines() -> Iterator[str]:
        at = _cursor(listing, request)
        headed = False
        while True:
            with request.connect() as conn:
                rows = _read(listing, conn, asked, _A_FETCH, at)
            yield from csv_lines(rows, headed=headed)
            if len(rows) < _A_FETCH:
                return
            headed, at = True, rows[-1].id

    name = listing.place.replace("/", "-")
    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )


def csv_lines(rows: "Sequence[DataclassInstance]", *, headed: bool) -> Iterator[str]:
    """Yield rows as lines of CSV, under the names of their fields; amounts in minor units."""
    if not rows:
        return
    names = [field.name for field in fields(rows[0])]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    if not headed:
        writer.writerow(names)
    for row in rows:
        writer.writerow([_for_csv(getattr(row, name)) for name in names])
    yield buffer.getvalue()


def _for_csv(value: object) -> object:
    match value:
        case None:
            return ""
        case datetime():
            return words.machine(value) if value.tzinfo else value.isoformat()
        case Mapping() | list() | tuple():
            return json.dumps(value, default=str, ensure_ascii=False)
        case str():
            told = words.text(value) if value else ""
            return f"'{told}" if told.startswith(_FORMULA) else told
        case _:
            return value


def _read(
    listing: ListPage,
    conn: Connection,
    asked: Mapping[str, object],
    limit: int,
    at: UUID | int | None,
) -> list[Any]:
    found: dict[str, Any] = {**(listing.always or {}), **asked, listing.cursor: at, "limit": limit}
    if not listing.forward:
        found["newest_first"] = True
    return list(listing.read(conn, **found))


def _asked(listing: ListPage, conn: Connection, request: PageRequest) -> dict[str, object]:
    """Return the values of the filters. Raises: BadInput."""
    request.query.only(listing.cursor, *(each.name for each in listing.filters))
    return {each.name: each.value(conn, request.query.get(each.name)) for each in listing.filters}


def _cursor(listing: ListPage, request: PageRequest) -> UUID | int | None:
    typed = request.query.get(listing.cursor)
    try:
        found = listing.key(typed) if typed else None
    except ValueError:
        raise BadInput("it is no id", where=listing.cursor) from None
    if isinstance(found, int) and not 0 < found < _NUMBERS_END:
        raise BadInput("it is no id", where=listing.cursor)
    return found


# --- cells --------------------------------------------------------------------------------------


def plain(value: object) -> Cell:
    """Return the cell of a value."""
    return Cell(words.text(value), whole=isinstance(value, datetime))


def money(minor_units: int | None, currency: str | None) -> Cell:
    """Return the cell of an amount."""
    return Cell(words.money(minor_units, currency))


def state(value: object) -> Cell:
    """Return the cell of a state."""
    return (
        Cell(words.text(value))
        if value is None
        else Cell(words.plain(value).lower(), tone=words.tone(value))
    )


def thing(noun: Any, reference: object, told: object = None) -> Cell:
    """Return the cell of a thing with a page; without a text of its own by the end of its id."""
    if reference is None:
        return Cell(words.NOTHING)
    text = words.text(told) if told else f"…{words.short(str(reference))}"
    is_name = noun in ("customer", "subscription") and bool(told)
    return Cell(
        text, links.to(noun, reference), title="" if told else str(reference), whole=not is_name
    )
