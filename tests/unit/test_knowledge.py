"""Does the database know an object at the provider? By its id, or by a call at that time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from billing.rules.reconciliation.knowledge import (
    SKEW,
    Made,
    MadeKind,
    Sent,
    has_calls,
    is_known,
    made_by,
)

ENGINE, OURS = UUID(int=1), UUID(int=2)
AT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def made(at: datetime = AT) -> Made:
    return Made(MadeKind.CHARGE, OURS, "ch_1", at)


def sent(*spans: tuple[datetime, datetime | None], theirs: str | None = None) -> Sent:
    return Sent(frozenset([theirs] if theirs else []), spans)


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({"engine": str(ENGINE), "payment": str(OURS)}, True),
        ({"engine": str(UUID(int=9)), "payment": str(OURS)}, False),
        ({"payment": str(OURS)}, False),
        ({"engine": str(ENGINE)}, False),
        ({"engine": str(ENGINE), "payment": "order 66"}, False),
        ({}, False),
    ],
)
def test_an_object_is_ours_by_the_engine_and_an_id(metadata: dict[str, str], ours: bool) -> None:
    found = made_by(ENGINE, MadeKind.CHARGE, metadata, "ch_1", AT)
    assert (found == made()) is ours
    assert (found is None) is not ours


def test_what_has_no_row_is_unknown() -> None:
    assert not is_known(made(), None)
    assert not has_calls(None)


def test_what_is_written_down_is_known_whenever_it_was_made() -> None:
    assert is_known(made(), sent(theirs="ch_1"))
    assert not is_known(made(), sent(theirs="ch_2"))
    assert has_calls(sent(theirs="ch_1"))


@pytest.mark.parametrize(
    ("begun", "ended", "known"),
    [
        (AT, AT, True),
        (AT - timedelta(days=3), AT + MINUTE, True),
        (AT - timedelta(days=3), None, True),
        (AT + SKEW, None, True),
        (AT + SKEW + MINUTE, None, False),
        (AT - timedelta(days=3), AT - SKEW, True),
        (AT - timedelta(days=3), AT - SKEW - MINUTE, False),
    ],
)
def test_what_was_made_during_a_call_is_known(
    begun: datetime, ended: datetime | None, known: bool
) -> None:
    assert is_known(made(), sent((begun, ended))) is known
    assert has_calls(sent((begun, ended)))


def test_a_row_without_a_call_made_nothing() -> None:
    assert not is_known(made(), sent())
    assert not has_calls(sent())
