"""Events of usage as they are written: exact numbers, ids, keys, instants, and rows of files."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pan import contains_card_number
from billing.rules.usage import (
    UsageEvent,
    UsageNumber,
    UsageRefusal,
    event_id,
    key_of,
    number_of,
    read_event,
    text_of,
)
from billing.rules.usage_rows import NO_ROW, read_json, read_lines, read_table

ROW = {
    "id": "a",
    "event": "search",
    "subscription": "ada",
    "at": "2026-01-01T00:00:00Z",
    "properties": {},
}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("007", "007"),
        ("1.50", "1.5"),
        ("-1.50", "-1.5"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("1.25e-3", "0.00125"),
        ("120e-2", "1.2"),
        ("999999999999999999", "999999999999999999"),
        ("0.999999999999", "0.999999999999"),
        ("0.1234567890120", "0.123456789012"),
        ("0000000000000000000000001.0", "1"),
    ],
)
def test_a_number_is_the_one_that_is_written(written: str, number: str) -> None:
    assert number_of(UsageNumber(written)) == number
    assert Fraction(number) == Fraction(written)


@pytest.mark.parametrize(
    "written",
    [
        "", " 1", "1 ", "+1", ".5", "5.", "1,5", "0x10", "NaN", "Infinity", "-Infinity", "1e",
        "1e18", "1000000000000000000", "1e-13", "0.0000000000001", "1e999", "1e9999", "٣", "1_000",
        "4242424242424242", "4000056655665556",
    ],
)  # fmt: skip
def test_what_is_no_number_within_bounds_is_none(written: str) -> None:
    assert number_of(written) is None


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [1], {"n": 1}])
def test_only_what_was_written_is_a_number(value: object) -> None:
    assert number_of(value) is None


@given(
    st.integers(-(10**18) + 1, 10**18 - 1),
    st.integers(0, 12),
    st.integers(-6, 6),
)
def test_any_number_within_bounds_is_exact(digits: int, decimals: int, exponent: int) -> None:
    sign, text = ("-" if digits < 0 else ""), str(abs(digits)).zfill(decimals + 1)
    whole, part = text[: len(text) - decimals], text[len(text) - decimals :]
    written = f"{sign}{whole}{'.' + part if part else ''}e{exponent}"
    value = Fraction(written)

    found = number_of(UsageNumber(written))

    fits = abs(value) < 10**18 and (value * 10**12).denominator == 1
    assert (found is not None) == (fits and not contains_card_number(written))
    if found is not None:
        assert Fraction(found) == value
        assert "e" not in found.lower()


def test_ids_that_differ_are_counted_under_other_ones() -> None:
    given_ids = ["a", "A", " a", "6f1c9f6b-6c4e-5c0e-9a55-0f8d4f0b6a12", "1", "01"]

    made = [event_id(each) for each in given_ids]

    assert len(set(made)) == len(given_ids)
    assert made == [event_id(each) for each in given_ids]
    assert event_id(given_ids[3].upper()) == made[3], "a UUID is one however it is written"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "no_id"),
        ({"id": 7}, "no_id"),
        ({"id": "x" * 256}, "no_id"),
        ({"id": "a\x00b"}, "no_id"),
        ({"at": None}, "bad_time"),
        ({"at": 1_770_000_000}, "bad_time"),
        ({"at": "2026-01-01T00:00:00"}, "bad_time"),
        ({"at": "2026-02-30T00:00:00Z"}, "bad_time"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "bad_time"),
        ({"event": None}, "unreadable"),
        ({"event": ""}, "unreadable"),
        ({"subscription": None}, "unreadable"),
        ({"customer": "ada"}, "unreadable"),
        ({"subscription": None, "customer": "ada"}, "unreadable"),
        ({"properties": []}, "unreadable"),
        ({"propertys": {}}, "unreadable"),
    ],
    ids=str,
)
def test_a_row_that_is_no_event_says_why(change: dict[str, Any], reason: str) -> None:
    assert read_event(ROW | change) is UsageRefusal(reason)


@pytest.mark.parametrize("row", [None, 7, "x", [], NO_ROW])
def test_what_is_no_object_is_unreadable(row: object) -> None:
    assert read_event(row) is UsageRefusal.UNREADABLE


def test_an_instant_is_the_same_in_any_zone() -> None:
    here, there = read_event(ROW), read_event(ROW | {"at": "2026-01-01T09:00:00+09:00"})

    assert isinstance(here, UsageEvent)
    assert here == there


@pytest.mark.parametrize(
    "change",
    [{"event": "other"}, {"properties": {"n": "1"}}, {"properties": {"m": UsageNumber("1")}}],
)
def test_another_payload_has_another_hash(change: dict[str, Any]) -> None:
    of = event_id("a subscription")
    first, second = read_event(ROW), read_event(ROW | change)

    assert isinstance(first, UsageEvent)
    assert isinstance(second, UsageEvent)
    assert first.payload(of) != second.payload(of)
    assert first.payload(of) != first.payload(event_id("another subscription"))


def test_the_order_of_properties_is_none() -> None:
    first = read_event(ROW | {"properties": {"a": "1", "b": True}})
    second = read_event(ROW | {"properties": {"b": True, "a": UsageNumber("1")}})

    assert isinstance(first, UsageEvent)
    assert isinstance(second, UsageEvent)
    assert first.payload(event_id("x")) == second.payload(event_id("x"))


def test_keys_and_texts_of_properties() -> None:
    assert text_of(UsageNumber("1.0")) == "1.0"
    assert (text_of(True), text_of(False)) == ("true", "false")
    assert (text_of(None), text_of([]), text_of(7)) == (None, None, None)
    assert key_of("a") != key_of("b")
    assert [key_of(each) for each in ("", None, "x" * 256, "4242 4242 4242 4242")] == [None] * 4


def test_lines_are_read_one_by_one() -> None:
    rows = list(read_lines('{"n": 0.10}\n\n{"a": 1, "a": 2}\n[\nNaN\n'))

    assert rows[0] == {"n": "0.10"}
    assert isinstance(rows[0]["n"], UsageNumber)
    assert rows[1:3] == [NO_ROW, NO_ROW]
    assert rows[3] == "NaN"
    assert read_json("[" * 100_000) is NO_ROW


def test_rows_of_a_table_have_the_numbers_of_their_lines() -> None:
    table = ["id,event,n\r\n", "a,search,1\r\n", '"b","sea\n', 'rch",\r\n', "\r\n", "c\r\n"]

    assert list(read_table(table)) == [
        (2, {"id": "a", "event": "search", "properties": {"n": "1"}}),
        (4, {"id": "b", "event": "sea\nrch", "properties": {}}),
        (6, NO_ROW),
    ]
    assert list(read_table([])) == []
    with pytest.raises(ValueError, match="a column comes twice"):
        list(read_table(["id,id\n"]))
