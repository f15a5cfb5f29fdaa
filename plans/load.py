"""The catalog: TOML files in, terms out, or every problem of every file at once.

A problem names file, line and key and says what to write instead. Nothing is guessed and
nothing is rounded: a catalog with one problem is not used at all.
"""

import calendar
import re
import tomllib
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Final, cast, get_args

from billing.pan import without_card_numbers
from billing.plans.currencies import (
    charge_limit,
    charge_step,
    check_sold,
    format_amount,
    parse_amount,
)
from billing.plans.errors import BadValue, CatalogError, CatalogProblem
from billing.plans.lines import key_lines
from billing.plans.table import Table, type_name
from billing.plans.terms import (
    ANCHORS,
    Cadence,
    Catalog,
    CatchUpPolicy,
    Dunning,
    Existing,
    GiveUp,
    OnDispute,
    Plan,
    PlanVersion,
)

__all__ = ["CatalogError", "CatalogProblem", "load_catalog"]

_FILE_KEYS: Final = ("product", "plan")
_ANCHOR_KEYS: Final = ("anchor", *ANCHORS)
_TERMS_KEYS: Final = ("every", "trial", *_ANCHOR_KEYS)
_POLICY_KEYS: Final = ("retry_after", "then", "catch_up")
_SALE_KEYS: Final = ("retired", "one_per_customer", "trial_once", "on_dispute")
_PLAN_KEYS: Final = ("code", "name", *_SALE_KEYS, *_TERMS_KEYS, *_POLICY_KEYS, "version")
_VERSION_KEYS: Final = ("effective", "existing", "price", *_TERMS_KEYS)

_CODE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_AT_LINE: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")
_KEY_OF_LINE: Final = re.compile(r"""\s*(?:\[{1,2}\s*)?([\w."'-]+)""")

_LONGEST_CADENCE: Final = Cadence(3, "year")
_LONGEST_TRIAL: Final = Cadence(2, "year")
_LONGEST_STEP: Final = Cadence(60, "day")
_MOST_STEPS: Final = 10
_NO_TRIAL: Final = "none"
_WEEKDAYS: Final = tuple(name.lower() for name in calendar.day_name)
_CALENDAR: Final = "calendar"
_CALENDAR_KEY: Final = "anchor"
_FITTING: Final = {
    "anchor_day": "leave it out, or count in months or years",
    "anchor_weekday": "leave it out, or count in weeks",
    "anchor_month": "leave it out, or count in months that a year has room for, or in years",
    _CALENDAR_KEY: "leave it out, or count in weeks, in 1, 2, 3, 4 or 6 months, or in years",
}


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms a plan may give for all its versions, each of which may differ."""

    every: Cadence | None
    trial: Cadence | None
    anchor: "_Anchor"


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where in the calendar periods begin, as it is written; `at` is the table that says so."""

    at: Table | None = None
    calendar: bool = False
    day: int | None = None
    month: int | None = None
    weekday: int | None = None


def load_catalog(path: str | Path) -> Catalog:
    """Read one TOML file, or all `*.toml` files of a directory, into a catalog.

    Raises: CatalogError, with all problems of all files.
    """
    problems: list[CatalogProblem] = []
    found: dict[str, tuple[Plan, Table]] = {}
    for file in _files(Path(path), problems):
        for plan, table in _read_file(file, problems):
            if plan.code in found:
                first = found[plan.code][1].place("code")
                what = f"the code {plan.code!r} is taken by the plan at {first}"
                table.problem("code", what, "give this plan a code of its own")
            found.setdefault(plan.code, (plan, table))
    if problems:
        raise CatalogError(problems)
    return Catalog({code: plan for code, (plan, _) in sorted(found.items())})


def _files(path: Path, problems: list[CatalogProblem]) -> list[Path]:
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        remedy = "put a file like video.toml there, or name another directory"
        problems.append(CatalogProblem(str(path), 1, "catalog", "no *.toml file here", remedy))
    return files


def _read_file(file: Path, problems: list[CatalogProblem]) -> list[tuple[Plan, Table]]:
    text = _read_text(file, problems)
    if text is None:
        return []
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers and nesting without bound, too
        problems.append(_syntax_problem(file, text, error))
        return []
    root = Table(str(file), data, key_lines(text), (), problems)
    if root.refuse_card_numbers():
        return []
    root.refuse_controls()
    root.refuse_unknown(_FILE_KEYS)
    product = root.text("product")
    tables = root.tables("plan", "[[plan]]")
    plans = [(_read_plan(table, product or ""), table) for table in tables]
    return [(plan, table) for plan, table in plans if plan is not None]


def _read_text(file: Path, problems: list[CatalogProblem]) -> str | None:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        what, remedy = f"can't be read: {error.strerror}", "check the path and its permissions"
        problems.append(CatalogProblem(str(file), 1, "file", what, remedy))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what, remedy = "is not UTF-8 text", "save the file as UTF-8"
        problems.append(CatalogProblem(str(file), line, "file", what, remedy))
    return None


def _syntax_problem(file: Path, text: str, error: Exception) -> CatalogProblem:
    if isinstance(error, RecursionError):
        what = "not valid TOML: lists or tables are nested too deep"
        return CatalogProblem(str(file), 1, "syntax", what, "nothing in a catalog is nested so")
    lines = text.splitlines() or [""]
    place = _AT_LINE.search(str(error))
    line = int(place[1]) if place and place[1] else len(lines)
    key = _KEY_OF_LINE.match(lines[min(line, len(lines)) - 1])
    what = f"not valid TOML: {_AT_LINE.sub('', str(error))}"
    remedy = "see toml.io; texts and prices stand in quotes, dates don't"
    shown = without_card_numbers(key[1]) if key else "syntax"
    return CatalogProblem(str(file), line, shown, what, remedy)


def _read_plan(table: Table, product: str) -> Plan | None:
    """Return the plan, or None when its code or all its versions can't be read."""
    table.refuse_unknown(_PLAN_KEYS)
    code = _read_code(table)
    name = table.text("name", required=False)
    dunning = _read_dunning(table)
    catch_up = cast("CatchUpPolicy | None", table.choice("catch_up", get_args(CatchUpPolicy)))
    retired = table.day("retired") if table.has("retired") else None
    on_dispute = cast("OnDispute | None", table.choice("on_dispute", get_args(OnDispute)))
    one_per_customer, trial_once = table.flag("one_per_customer"), table.flag("trial_once")
    terms = _read_terms(table, _Terms(None, None, _Anchor()))
    sections = table.tables("version", "[[plan.version]]")
    read = [(_read_version(section, table, code or "", terms), section) for section in sections]
    versions = [(version, section) for version, section in read if version is not None]
    versions.sort(key=lambda pair: pair[0].effective)
    _check_history(versions)
    if code is None or not versions:
        return None
    return Plan(
        code=code,
        product=product,
        name=name or code.replace("-", " ").title(),
        dunning=dunning,
        catch_up=catch_up,
        versions=tuple(version for version, _ in versions),
        retired=retired,
        one_per_customer=one_per_customer,
        trial_once=trial_once,
        on_dispute=on_dispute or "continue",
    )


def _read_code(table: Table) -> str | None:
    code = table.text("code")
    if code is None or (_CODE.fullmatch(code) and len(code) <= 64):
        return code
    remedy = "write at most 64 small letters, digits and single dashes, like 'video-basic'"
    table.problem("code", f"{code!r} is no plan code", remedy)
    return None


def _read_dunning(table: Table) -> Dunning | None:
    retry_after = table.cadences("retry_after", _LONGEST_STEP, _MOST_STEPS)
    then = cast("GiveUp | None", table.choice("then", get_args(GiveUp)))
    for key, other in (("retry_after", "then"), ("then", "retry_after")):
        if table.has(key) and not table.has(other):
            table.problem(other, f"is missing beside {key}", f"give both {key} and {other}")
    if retry_after is None or then is None:
        return None
    return Dunning(retry_after, then)


def _read_terms(table: Table, default: _Terms) -> _Terms:
    trial = default.trial
    if table.has("trial"):
        none = table.data["trial"] == _NO_TRIAL
        trial = None if none else table.cadence("trial", _LONGEST_TRIAL)
    return _Terms(
        table.cadence("every", _LONGEST_CADENCE) if table.has("every") else default.every,
        trial,
        _read_anchor(table) if any(map(table.has, _ANCHOR_KEYS)) else default.anchor,
    )


def _read_anchor(table: Table) -> _Anchor:
    """Read where in the calendar periods begin; whether the cadence allows that is seen later."""
    weekday = table.choice("anchor_weekday", _WEEKDAYS)
    word = table.choice("anchor", [_CALENDAR])
    others = [key for key in ANCHORS if table.has(key)]
    if word is not None and others:
        what = f"says where periods begin, and so does {others[0]}"
        table.problem("anchor", what, "leave one of both out")
    if table.has("anchor_month") and not table.has("anchor_day"):
        table.problem("anchor_day", "is missing beside anchor_month", "add a line: anchor_day = 1")
    return _Anchor(
        at=table,
        calendar=word is not None,
        day=table.integer("anchor_day", 1, 31),
        month=table.integer("anchor_month", 1, 12),
        weekday=None if weekday is None else _WEEKDAYS.index(weekday) + 1,
    )


def _anchored(anchor: _Anchor, every: Cadence) -> tuple[int | None, int | None, int | None]:
    """Return day, month and weekday of an anchor with a cadence; note what can't be with it."""
    months = {"month": 1, "year": 12}.get(every.unit, 0) * every.count
    day, month, weekday = anchor.day, anchor.month, anchor.weekday
    if anchor.calendar and every.unit == "week":
        weekday = 1
    elif anchor.calendar:
        day, month = 1, None if months == 1 else 1
    refused = {
        "anchor_day": anchor.day is not None and not months,
        "anchor_weekday": anchor.weekday is not None and every.unit != "week",
        "anchor_month": anchor.month is not None and gcd(months, 12) == 1,
        _CALENDAR_KEY: anchor.calendar
        and every.unit != "week"
        and (not months or (months != 1 and gcd(months, 12) == 1)),
    }
    for key in [key for key, is_refused in refused.items() if is_refused and anchor.at]:
        assert anchor.at is not None
        what = f"means nothing where a period is {every}"
        anchor.at.problem(key, what, _FITTING[key])
    return day, month, weekday


def _read_version(table: Table, plan: Table, code: str, default: _Terms) -> PlanVersion | None:
    table.refuse_unknown(_VERSION_KEYS)
    effective = table.day("effective")
    existing = cast("Existing | None", table.choice("existing", get_args(Existing)))
    terms = _read_terms(table, default)
    if not table.has("every") and not plan.has("every"):
        table.problem("every", "is missing", 'add every = "1 month" to the plan or the version')
    prices = _read_prices(table)
    if terms.every is None:
        return None
    day, month, weekday = _anchored(terms.anchor, terms.every)
    if effective is None or prices is None:
        return None
    return PlanVersion(
        plan=code,
        effective=effective,
        existing=existing or "keep",
        every=terms.every,
        trial=terms.trial,
        prices=prices,
        anchor_day=day,
        anchor_month=month,
        anchor_weekday=weekday,
    )


def _read_prices(version: Table) -> dict[str, int] | None:
    table = version.table("price", '{ USD = "9.99" }')
    if table is None:
        return None
    prices = {currency: _read_price(table, currency) for currency in table.data}
    good = {currency: amount for currency, amount in prices.items() if amount is not None}
    return good if len(good) == len(prices) else None


def _read_price(table: Table, currency: str) -> int | None:
    value = table.data[currency]
    if type(value) in (int, float):
        what = f"{value} is {type_name(value)}, and a price is read digit by digit"
        table.problem(currency, what, f'write it in quotes: {currency} = "{value}"')
        return None
    text = table.text(currency)
    if text is None:
        return None
    try:
        check_sold(currency)
        amount = parse_amount(text, currency)
    except BadValue as error:
        table.problem(currency, error.what, error.remedy)
        return None
    if amount <= 0:
        what = f"{text!r} is not above zero"
        table.problem(currency, what, "what costs nothing needs no plan; leave it out")
        return None
    if amount > charge_limit(currency):
        limit = format_amount(charge_limit(currency), currency)
        what = f"{text!r} is more than the payment provider takes"
        table.problem(currency, what, f"write at most {limit!r}")
        return None
    if amount % charge_step(currency):
        near = format_amount(amount - amount % charge_step(currency), currency)
        what = f"{text!r} can't be charged: the third decimal of {currency} must be 0"
        table.problem(currency, what, f"write it like {near!r}")
        return None
    return amount


def _check_history(versions: list[tuple[PlanVersion, Table]]) -> None:
    """Check each version against those before it, in the order of their dates."""
    for index, (version, table) in enumerate(versions):
        earlier = [before for before, _ in versions[:index]]
        if not earlier:
            if version.existing == "move":
                what = "'move' means nothing in the first version: nobody holds an earlier one"
                table.problem("existing", what, "leave it out")
            continue
        if earlier[-1].effective == version.effective:
            what = f"{version.effective} is the date of another version of {version.plan!r}"
            table.problem("effective", what, "give each version a date of its own")
        _check_currencies(version, earlier, table)
        if version.existing == "move":
            _check_move(version, earlier, table)


def _check_currencies(version: PlanVersion, earlier: list[PlanVersion], table: Table) -> None:
    dropped = sorted({c for before in earlier for c in before.prices} - set(version.prices))
    for currency in dropped:
        what = f"drops {currency}: subscriptions in {currency} would have no price"
        table.problem("price", what, f"add a price in {currency}, or make a plan of another code")


def _check_move(version: PlanVersion, earlier: list[PlanVersion], table: Table) -> None:
    """A subscription's periods are counted from its start: only its price may move."""
    for key in ("every", *ANCHORS):
        if any(getattr(before, key) != getattr(version, key) for before in earlier):
            what = f"can't change for subscriptions that exist, and this version moves them ({key})"
            table.problem(key, what, 'write existing = "keep", or make a plan of another code')
