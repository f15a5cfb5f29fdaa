"""The moves of a grant of credit: each begins with what the one before left."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.ids import new_id
from billing.rules.actor import SCHEDULER
from billing.rules.credit import CreditSource, MoveKind
from billing.store.payments.credit import GrantLeft, next_move

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = [kind for kind in MoveKind if kind is not MoveKind.GRANTED]


def held(*, left: int = 1000, expires: datetime | None = None) -> GrantLeft:
    return GrantLeft(
        id=new_id(), customer_id=new_id(), currency="USD", amount=1000,
        source=CreditSource.GOODWILL, priority=50, subscription_id=None, effective_at=AT,
        expires_at=expires, expiry_due_at=expires, created_at=AT, n=0, left=left,
    )  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(LATER), st.integers(1, 1000))))
def test_moves_follow_each_other_and_add_up(wanted: list[tuple[MoveKind, int]]) -> None:
    grant, moves = held(), []
    for kind, amount in wanted:
        moves.append(next_move(kind, grant, amount, AT, SCHEDULER))
        grant = grant.after(moves[-1])

    assert [move["n"] for move in moves] == list(range(1, len(moves) + 1))
    assert [move["left_before"] for move in moves] == [1000, *(m["left_after"] for m in moves)][
        : len(moves)
    ]
    adds = (MoveKind.RETURNED, MoveKind.RESTORED)
    back = sum(amount for kind, amount in wanted if kind in adds)
    used = sum(amount for kind, amount in wanted if kind not in adds)
    assert (grant.n, grant.left) == (len(wanted), 1000 + back - used)


@pytest.mark.parametrize(
    ("expires", "now", "expired"),
    [
        (None, AT, False),
        (AT, AT - timedelta(microseconds=1), False),
        (AT, AT, True),
        (AT, AT + timedelta(days=1), True),
    ],
)
def test_credit_pays_up_to_but_not_including_its_expiry(
    expires: datetime | None, now: datetime, expired: bool
) -> None:
    assert held(expires=expires).has_expired(now) is expired


@pytest.mark.parametrize(
    ("source", "paid_for"),
    [
        (CreditSource.GOODWILL, False),
        (CreditSource.SMALL, False),
        (CreditSource.BOUGHT, True),
        (CreditSource.CREDIT_NOTE, True),
    ],
)
def test_what_a_customer_paid_for_is_known(source: CreditSource, paid_for: bool) -> None:
    assert source.is_paid_for is paid_for
