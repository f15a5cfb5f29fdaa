"""Grants pay by priority, then what expires first, then what was created first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Credit, GrantedCredit, credit_at

NOW = datetime(2027, 2, 1, tzinfo=UTC)
ADA, BOB = UUID(int=100), UUID(int=101)
SECOND = timedelta(seconds=1)
GRANT = GrantedCredit(
    UUID(int=1), 500, priority=1, created=NOW - 2 * SECOND, effective=NOW - 2 * SECOND
)


def order(*grants: GrantedCredit) -> list[int]:
    return [each.grant.int for each in credit_at(grants, NOW, ADA)]


@pytest.mark.parametrize(
    ("changes", "pays"),
    [
        ({}, True),
        ({"effective": NOW}, True),
        ({"effective": NOW + SECOND}, False),
        ({"expires": NOW + SECOND}, True),
        ({"expires": NOW}, False),
        ({"left": 0}, False),
        ({"subscription": ADA}, True),
        ({"subscription": BOB}, False),
    ],
)
def test_a_grant_pays_from_its_beginning_until_just_before_its_end(
    changes: dict[str, object], pays: bool
) -> None:
    grant = replace(GRANT, **changes)  # type: ignore[arg-type]

    assert credit_at([grant], NOW, ADA) == ((Credit(GRANT.grant, grant.left),) if pays else ())


def test_the_order_of_grants() -> None:
    by_id = replace(GRANT, grant=UUID(int=2))
    older = replace(GRANT, grant=UUID(int=3), created=NOW - 3 * SECOND)
    expiring = replace(GRANT, grant=UUID(int=4), expires=NOW + 2 * SECOND)
    sooner = replace(GRANT, grant=UUID(int=5), expires=NOW + SECOND)
    urgent = replace(GRANT, grant=UUID(int=6), priority=0)

    assert order(by_id, GRANT, older, expiring, sooner, urgent) == [6, 5, 4, 3, 1, 2]


@given(st.permutations(range(5)))
def test_the_order_is_that_of_the_grants_and_not_of_the_rows(rows: list[int]) -> None:
    grants = [replace(GRANT, grant=UUID(int=n), priority=n % 2) for n in range(5)]

    assert order(*(grants[row] for row in rows)) == [0, 2, 4, 1, 3]
