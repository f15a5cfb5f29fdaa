"""The figures that the page of plans has about usage, computed."""

import re
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

import pytest

from billing.plans.items import Item
from billing.plans.load import load_catalog
from billing.pricing import Charge, Facts, InvoiceKind, UsageClosing, draft
from billing.rules.money import Money
from billing.rules.periods import Period

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "plans.md"
SECTION: Final = PAGE.read_text(encoding="utf-8").split("## Usage\n")[1].split("## Cadences")[0]
ROWS: Final = re.findall(r"^\| ([0-9]+) \| ([0-9.]+) \| ([0-9.]*) ?\| ([0-9.]+) \|$", SECTION, re.M)
JANUARY: Final = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))


def items(folder: Path) -> dict[str, Item]:
    written = folder / "api.toml"
    written.write_text(SECTION.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    (version,) = load_catalog(written).plans["api"].versions
    return {item.code: item for item in version.items}


def charge(item: Item, quantity: int, before: int = 0, revision: int = 0) -> Charge:
    price = item.price_in("USD")
    assert price is not None
    closings: tuple[UsageClosing, ...] = ()
    if revision:
        closings = (UsageClosing("calls", 0, 0, revision, Fraction(before + quantity), 1, 1),)
    return Charge(
        item.code, item.code, price, Fraction(quantity), JANUARY, "plan:api:2027-01-01", "",
        metered=bool(closings), before=Fraction(before), closings=closings,
    )  # fmt: skip


def amounts(*charges: Charge) -> list[str]:
    """Return what each line comes to, and all of them, as they are written."""
    drafted = draft(Facts(InvoiceKind.CYCLE, "USD", "UTC", charges))
    found = [*(line.net for line in drafted.lines), drafted.total]
    return [str(Money(each, "USD")).removesuffix(" USD") for each in found]


def test_the_page_has_rows() -> None:
    assert len(ROWS) == 5


@pytest.mark.parametrize(("calls", "line", "minimum", "total"), ROWS)
def test_an_invoice_with_usage_comes_to_what_the_page_says(
    tmp_path: Path, calls: str, line: str, minimum: str, total: str
) -> None:
    sold = items(tmp_path)

    found = amounts(charge(sold["base"], 1), charge(sold["calls"], int(calls), revision=1))

    assert found == ["30.00", line, *([minimum] if minimum else []), total]


def test_late_usage_comes_to_what_the_page_says(tmp_path: Path) -> None:
    late = charge(items(tmp_path)["calls"], 121, before=280, revision=2)

    assert amounts(late) == ["7.56", "7.56"]
    (line,) = draft(Facts(InvoiceKind.CYCLE, "USD", "UTC", (late,))).lines
    assert line.description == "calls, late usage of 2027-01-01 to 2027-01-31"
    for figure in (
        line.description.split(" of ")[1],
        "has 18.00",
        "March 7.56",
        "If 121 of the\n401",
    ):
        assert figure in SECTION
