"""Array literals carry every value through `unnest` unchanged."""

import uuid
from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from billing.store.arrays import Element, literal, scalar

TEXTS = st.text(st.characters(exclude_characters="\x00", codec="utf-8"))


@given(values=st.lists(st.none() | TEXTS, min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_any_text_comes_back_as_it_was(engine: Engine, values: list[str | None]) -> None:
    with engine.connect() as conn:
        back = conn.execute(
            text("SELECT x FROM unnest(CAST(:v AS text[])) WITH ORDINALITY AS t(x, n) ORDER BY n"),
            {"v": literal(values)},
        )
        assert [row.x for row in back] == values


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", [uuid.UUID(int=1), None]),
        ("bigint", [-(2**63), 0, 2**63 - 1, None]),
        ("bool", [True, False, None]),
        ("date", [date(2024, 2, 29), None]),
        ("timestamptz", [datetime(2026, 10, 25, 1, 30, 0, 123456, tzinfo=UTC), None]),
        ("bytea", [b"", b'\x00"\\{},', None]),
        ("text", ["NULL", "null", "", "a,b", '"', "\\", "{}", " x "]),
    ],
)
def test_every_type_we_store_comes_back(engine: Engine, kind: str, values: list[Element]) -> None:
    with engine.connect() as conn:
        back = conn.execute(
            text(
                f"SELECT x FROM unnest(CAST(:v AS {kind}[])) WITH ORDINALITY AS t(x, n) ORDER BY n"
            ),
            {"v": literal(values)},
        )
        assert [row.x for row in back] == values


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uuid", uuid.UUID(int=1)),
        ("bigint", -(2**63)),
        ("boolean", False),
        ("date", date(2024, 2, 29)),
        ("timestamptz", datetime(2026, 10, 25, 1, 30, 0, 123456, tzinfo=UTC)),
        ("bytea", b'\x00"\\{},'),
        ("text", "NULL"),
        ("text", '{"a": "\\ x"}'),
        ("text", ""),
        ("text", None),
    ],
)
def test_one_value_comes_back_from_its_text(engine: Engine, kind: str, value: Element) -> None:
    with engine.connect() as conn:
        query = text(f"SELECT CAST(CAST(:v AS text) AS {kind})")
        assert conn.execute(query, {"v": scalar(value)}).scalar() == value
