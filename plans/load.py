"""The catalog: TOML files in, terms out, or every problem of every file at once.

A problem names file, line and key and says what to write instead. Nothing is guessed and
nothing is rounded: a catalog with one problem is not used at all.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

from billing.pan import without_card_numbers
from billing.plans.addons import Addon
from billing.plans.catalogs import Catalog
from billing.plans.coupons import Coupon
from billing.plans.errors import CatalogError, CatalogProblem
from billing.plans.lines import key_lines
from billing.plans.load_across import Sections, check_across
from billing.plans.load_addons import read_addon
from billing.plans.load_coupons import read_coupon
from billing.plans.load_plans import read_plan
from billing.plans.load_taxes import read_tax_rate
from billing.plans.meters import Meter
from billing.plans.table import Table
from billing.plans.terms import Plan

__all__ = ["CatalogError", "CatalogProblem", "load_catalog"]

_FILE_KEYS: Final = ("product", "plan", "addon", "coupon", "meter", "tax_rate")
_WITHOUT_PLANS: Final = ("addon", "coupon", "meter", "tax_rate")

_AT_LINE: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")
_KEY_OF_LINE: Final = re.compile(r"""\s*(?:\[{1,2}\s*)?([\w."'-]+)""")


def load_catalog(path: str | Path) -> Catalog:
    """Read one TOML file, or all `*.toml` files of a directory, into a catalog.

    Raises: CatalogError, with all problems of all files.
    """
    problems: list[CatalogProblem] = []
    sections = Sections()
    read = [_read_file(file, problems) for file in _files(Path(path), problems)]
    sections.roots = [root for root in read if root is not None]
    sections.whole = sections.meters.whole = len(sections.roots) == len(read)
    for root in sections.roots:
        for table in root.tables("meter", "[[meter]]") if root.has("meter") else ():
            sections.meters.add(table)
    for root in sections.roots:
        _read_sections(root, sections)
    check_across(sections)
    if problems:
        raise CatalogError(problems)
    return Catalog(
        plans={plan.code: plan for plan, _ in sorted(sections.plans, key=_code)},
        addons={addon.code: addon for addon, _ in sorted(sections.addons, key=_code)},
        coupons={coupon.code: coupon for coupon, _ in sorted(sections.coupons, key=_code)},
        meters={meter.code: meter for meter, _ in sorted(sections.meters.read, key=_code)},
        tax_rates=tuple(rate for rate, _ in sections.tax_rates),
    )


def _code(read: tuple[Plan | Addon | Coupon | Meter, Table]) -> str:
    return read[0].code


def _files(path: Path, problems: list[CatalogProblem]) -> list[Path]:
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        remedy = "put a file like video.toml there, or name another directory"
        problems.append(CatalogProblem(str(path), 1, "catalog", "no *.toml file here", remedy))
    return files


def _read_file(file: Path, problems: list[CatalogProblem]) -> Table | None:
    text = _read_text(file, problems)
    if text is None:
        return None
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers and nesting without bound, too
        problems.append(_syntax_problem(file, text, error))
        return None
    root = Table(str(file), data, key_lines(text), (), problems)
    return None if root.refuse_card_numbers() else root


def _read_sections(root: Table, sections: Sections) -> None:
    root.refuse_controls()
    root.refuse_unknown(_FILE_KEYS)
    if root.has("plan") or not any(map(root.has, _WITHOUT_PLANS)):
        product = root.text("product")
        for table in root.tables("plan", "[[plan]]"):
            plan = read_plan(table, product or "", sections.meters)
            sections.plans += [] if plan is None else [(plan, table)]
    for table in root.tables("addon", "[[addon]]") if root.has("addon") else ():
        addon = read_addon(table, sections.meters)
        sections.addons += [] if addon is None else [(addon, table)]
    for table in root.tables("coupon", "[[coupon]]") if root.has("coupon") else ():
        coupon = read_coupon(table)
        sections.coupons += [] if coupon is None else [(coupon, table)]
    for table in root.tables("tax_rate", "[[tax_rate]]") if root.has("tax_rate") else ():
        rate = read_tax_rate(table)
        sections.tax_rates += [] if rate is None else [(rate, table)]


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
