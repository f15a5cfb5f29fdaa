"""What an invoice was is read again from the metadata of its charge."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.invoice_marks import (
    ChangeMark,
    InvoiceMark,
    OrderMark,
    TopUpMark,
    read_invoice_mark,
)
from billing.rules.reconciliation.knowledge import METADATA_MAX
from billing.rules.request_marks import CALLER, REQUEST, RequestMark, read_mark

ISSUED = datetime(2026, 1, 15, 12, 34, 56, 789, tzinfo=UTC)
ID = UUID("018f0000-0000-7000-8000-0000000000a1")
CODES = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True).filter(lambda code: len(code) < 65)


@given(
    issued=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])),
    change=st.none()
    | st.builds(
        ChangeMark,
        st.uuids(),
        st.none() | CODES,
        st.dictionaries(CODES, st.integers(0, 1_000_000), max_size=3),
        st.none() | st.integers(1, 31),
        st.none() | st.sampled_from(["UTC", "America/Argentina/ComodRivadavia"]),
    ),
)
def test_a_mark_is_read_as_it_was_written(issued: datetime, change: ChangeMark | None) -> None:
    mark = InvoiceMark(issued, change)
    (value,) = mark.as_metadata().values()
    assert value.isascii()
    assert len(value) <= METADATA_MAX
    assert read_invoice_mark(mark.as_metadata()) == mark


@given(
    top_up=st.builds(TopUpMark, st.uuids(), st.integers(1, 100), st.none() | st.integers(1, 36_500))
)
def test_credit_that_was_bought_is_read_as_it_was_written(top_up: TopUpMark) -> None:
    mark = InvoiceMark(ISSUED, top_up=top_up)
    (value,) = mark.as_metadata().values()
    assert len(value) <= METADATA_MAX
    assert read_invoice_mark(mark.as_metadata()) == mark


@given(
    order=st.builds(
        OrderMark,
        st.uuids(),
        st.lists(
            st.tuples(st.text(max_size=12), st.integers(1, 99_999_999)), min_size=1, max_size=2
        ).map(tuple),
        st.none() | st.tuples(st.dates(), st.dates(), st.sampled_from(["UTC", "Europe/Berlin"])),
        st.booleans(),
    )
)
def test_lines_that_were_asked_for_are_read_as_they_were_written(order: OrderMark) -> None:
    mark = InvoiceMark(ISSUED, order=order)
    (value,) = mark.as_metadata().values()
    assert value.isascii()
    assert len(value) <= METADATA_MAX
    assert read_invoice_mark(mark.as_metadata()) == mark


@pytest.mark.parametrize(
    "mark",
    [
        InvoiceMark(ISSUED, ChangeMark(ID, "p", {f"item-{n}": n for n in range(60)})),
        InvoiceMark(ISSUED, order=OrderMark(ID, tuple((f"line {n}", n) for n in range(60)))),
    ],
)
def test_what_is_too_long_is_not_named(mark: InvoiceMark) -> None:
    assert read_invoice_mark(mark.as_metadata()) == InvoiceMark(ISSUED)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "issued",
        "issued yesterday",
        "issued 2026-01-15T12:00:00",
        f"issued {ISSUED.isoformat()} change x {{}}",
        f"issued {ISSUED.isoformat()} change {ID} {{",
        f"issued {ISSUED.isoformat()} change {ID} []",
        f'issued {ISSUED.isoformat()} change {ID} {{"items":{{"seats":null}}}}',
        f"issued {ISSUED.isoformat()} credit x [50, null]",
        f"issued {ISSUED.isoformat()} credit {ID} 50",
        f"issued {ISSUED.isoformat()} credit {ID} [50]",
        f"issued {ISSUED.isoformat()} order {ID} [50]",
        f"issued {ISSUED.isoformat()} order {ID} [[],null]",
        f'issued {ISSUED.isoformat()} order {ID} [[["a"]],null,0]',
        f'issued {ISSUED.isoformat()} order {ID} [[["a",1]],["today","today","UTC"],0]',
        RequestMark("api:shop", "k", bytes(32)).as_metadata()[REQUEST],
    ],
)
def test_what_is_no_mark_is_none(value: str) -> None:
    assert read_invoice_mark({REQUEST: value}) is None


def test_it_is_no_mark_of_a_caller_and_an_object_without_one_has_none() -> None:
    assert read_mark(InvoiceMark(ISSUED).as_metadata()) is None
    asked = RequestMark("api:shop", "k", bytes(32))
    both = {**InvoiceMark(ISSUED).as_metadata(), **asked.as_metadata(CALLER)}
    assert (read_invoice_mark(both), read_mark(both)) == (InvoiceMark(ISSUED), None)
    assert read_mark(both, CALLER) == asked
    assert read_invoice_mark({"payment": "1"}) is None
