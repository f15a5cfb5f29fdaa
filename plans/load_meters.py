"""Meters of a catalog file, and finding the one that an item names."""

import re
from dataclasses import dataclass, field
from typing import Final

from billing.plans.meters import VALUED, Aggregate, Meter
from billing.plans.table import Table
from billing.plans.usual_names import nearest_of

_KEYS: Final = ("code", "event", "value", "aggregate", "key", "where")
_CODE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_LONGEST: Final = 64
_MOST_VALUES: Final = 100
_EXAMPLES: Final = {"event": "search", "value": "n", "key": "user"}


@dataclass(slots=True)
class KnownMeters:
    """The meters that the files have, by code; None where one can't be read.

    A name counts as known where a section has it, whatever else is wrong with that section.
    `whole`: all files could be read as tables.
    """

    read: list[tuple[Meter, Table]] = field(default_factory=list)
    by_code: dict[str, Meter | None] = field(default_factory=dict)
    whole: bool = True

    def add(self, table: Table) -> None:
        """Read a meter, and remember it."""
        meter = read_meter(table)
        code = table.data.get("code")
        if isinstance(code, str):
            self.by_code.setdefault(code, meter)
        if meter is not None:
            self.read.append((meter, table))

    def named(self, item: Table) -> Meter | None:
        """Return the meter that an item names."""
        code = item.text("meter", required=False)
        if code is not None and code not in self.by_code and self.whole:
            known = sorted(self.by_code)
            near = nearest_of(code, known)
            remedy = f"did you mean {near!r}?" if near else "add a [[meter]] section with that code"
            item.problem("meter", f"{code!r} is no meter", remedy)
        return None if code is None else self.by_code.get(code)


def read_meter(table: Table) -> Meter | None:
    """Return the meter, or None when something of it can't be read."""
    table.refuse_unknown(_KEYS)
    code = _read_code(table)
    event, value, key = (_read_name(table, name) for name in ("event", "value", "key"))
    if not table.has("event"):
        table.problem("event", "is missing", 'add a line: event = "search"')
    word = table.choice("aggregate", [str(each) for each in Aggregate])
    aggregate = Aggregate(word or Aggregate.COUNT)
    where = _read_where(table)
    if table.has("aggregate") and word is None:
        return None
    fits = _check_property(table, "value", aggregate, needed=aggregate in VALUED)
    fits &= _check_property(table, "key", aggregate, needed=aggregate is Aggregate.UNIQUE)
    lacks = [
        name for name, read in (("value", value), ("key", key)) if table.has(name) and not read
    ]
    if code is None or event is None or where is None or lacks or not fits:
        return None
    return Meter(code, event, aggregate, value, key, where)


def _read_code(table: Table) -> str | None:
    code = table.text("code")
    if code is None or (_CODE.fullmatch(code) and len(code) <= _LONGEST):
        return code
    remedy = "write at most 64 small letters, digits and single dashes, like 'searches'"
    table.problem("code", f"{code!r} is no code", remedy)
    return None


def _read_name(table: Table, key: str) -> str | None:
    """Read the name of events or of one of their properties."""
    name = table.text(key, required=False)
    if name is None or (_NAME.fullmatch(name) and len(name) <= _LONGEST):
        return name
    remedy = f"write at most 64 letters, digits and any of _ . : -, like {_EXAMPLES[key]!r}"
    table.problem(key, f"{name!r} is no name", remedy)
    return None


def _check_property(table: Table, key: str, aggregate: Aggregate, *, needed: bool) -> bool:
    """Note a property that the aggregate needs and hasn't, or has and doesn't read."""
    if needed and not table.has(key):
        example = f'{key} = "{_EXAMPLES[key]}"'
        what = f"is missing, and {aggregate} reads a {key}"
        table.problem(key, what, f"say which property it is: {example}")
    elif table.has(key) and not needed:
        fitting = "unique" if key == "key" else "sum, max, last or level"
        remedy = f"leave it out, or write aggregate = {fitting}"
        table.problem(key, f"isn't read where the aggregate is {aggregate}", remedy)
    return needed == table.has(key)


def _read_where(table: Table) -> dict[str, tuple[str, ...]] | None:
    """Read which values properties must have; none where all events count."""
    if not table.has("where"):
        return {}
    inner = table.table("where", '{ region = ["eu", "us"] }')
    if inner is None:
        return None
    found = {}
    for name in inner.data:
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            remedy = "write at most 64 letters, digits and any of _ . : -, like region"
            inner.problem(name, "is no name of a property", remedy)
            continue
        values = inner.texts(name, '["eu", "us"]')
        if values is not None and len(values) > _MOST_VALUES:
            inner.problem(name, f"has {len(values)} values", f"write at most {_MOST_VALUES}")
        elif values is not None:
            found[name] = tuple(sorted(values))
    return found if len(found) == len(inner.data) else None
