"""Cases that others published, each with its source, come to the same figures here."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.pricing.published import changes, invoices, prices, treatments, usage
from tests.unit.pricing.published.figures import Found, Given, comparable

FOLDER: Final = Path(__file__).parent / "published"
CASES: Final[list[dict[str, Any]]] = json.loads((FOLDER / "cases.json").read_text())
ELSEWHERE: Final[list[dict[str, Any]]] = tomllib.loads((FOLDER / "elsewhere.toml").read_text())[
    "elsewhere"
]

CHECKS: Final[Mapping[str, Callable[[Given], Found]]] = {
    check.__name__: check
    for check in (
        prices.bought, prices.included, prices.minimum, prices.once, prices.once_at_the_end,
        prices.quantity, prices.ranges, prices.rated, prices.rounding, prices.slabs,
        prices.subtotal, prices.unit_line, prices.used_below_zero,
        invoices.balance, invoices.coupons, invoices.credit_capped, invoices.grants_used,
        invoices.note_of_days, invoices.note_of_net, invoices.notes_of_amounts,
        invoices.notes_of_lines, invoices.order_of_grants, invoices.per_rate,
        invoices.percent_of_lines, invoices.percent_of_sum, invoices.prepaid, invoices.rest_kept,
        invoices.second_note, invoices.several_taxes, invoices.split, invoices.tax_contained,
        invoices.tax_on_top, invoices.taxed_after_coupons, invoices.taxed_lines,
        changes.days, changes.ended, changes.exchange, changes.first_stub, changes.items,
        changes.left_to_credit, changes.metered, changes.month_and_stub, changes.month_part,
        changes.seat_more, changes.seats, changes.second_change, changes.shared_discount,
        changes.starts, changes.whole_course,
        treatments.treated, usage.counted,
    )
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_a_published_case_comes_to_its_figures(case: dict[str, Any]) -> None:
    others = case.get("other_policies", [])
    expected = {key: value for key, value in case["expect"].items() if key not in others}

    found = CHECKS[case["kind"]](case["given"])

    assert comparable(found) == comparable(expected), case["source"]


def test_each_case_is_computed_here_or_has_the_reason_why_not() -> None:
    known = (FOLDER / "ids.txt").read_text().split()
    here = [case["id"] for case in CASES]
    elsewhere = [each for group in ELSEWHERE for each in group["ids"]]

    assert sorted([*here, *elsewhere]) == sorted(known)
    assert len(known) == len(set(known)) == 202


def test_each_case_names_its_source_and_each_check_has_a_case() -> None:
    assert all(case["source"] for case in CASES)
    assert {case["kind"] for case in CASES} == set(CHECKS)
