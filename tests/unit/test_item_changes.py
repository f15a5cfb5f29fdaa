"""What is held follows from dated changes, and which change can be made follows from a table."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import ErrorCode
from billing.plans.terms import Cadence
from billing.rules.change_states import ChangeStanding, PriceMove, standing, state_after
from billing.rules.item_changes import (
    Applies,
    HeldTerms,
    ItemChange,
    held_after,
    held_at_start,
    held_in,
    orders_of,
    orders_to_come,
    scheduled,
)
from billing.rules.schedule_orders import ScheduleOrder
from billing.rules.subscriptions import DatedChangeKind, Status

NOW, LATER = Applies.NOW, Applies.PERIOD_END
VERSION = date(2026, 1, 1)
BASE = ItemChange(
    DatedChangeKind.HELD,
    datetime(2026, 1, 1, tzinfo=UTC),
    plan="basic",
    version=VERSION,
    items={"seats": 2},
)


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def seats(n: int, when: datetime, quantity: int, applies: Applies = LATER) -> ItemChange:
    return ItemChange(
        DatedChangeKind.QUANTITY, when, UUID(int=n), applies, items={"seats": quantity}
    )


def plan(n: int, when: datetime, code: str, **items: int) -> ItemChange:
    return ItemChange(
        DatedChangeKind.PLAN, when, UUID(int=n), LATER, plan=code, version=VERSION, items=items,
        defaults={"seats": 1, "rooms": 3},
    )  # fmt: skip


def withdrawn(n: int, change: ItemChange) -> ItemChange:
    return ItemChange(DatedChangeKind.WITHDRAW, at(5), UUID(int=n), withdraws=change.change_id)


def held(items: dict[str, int], code: str = "basic") -> HeldTerms:
    return HeldTerms(code, VERSION, items)


def test_nothing_follows_where_nothing_was_changed() -> None:
    assert held_at_start([], at(1)) is None
    assert held_in([], (at(1), at(2))) is None
    assert held_after([], UUID(int=1), at(1)) is None


def test_a_quantity_that_was_asked_for_before_a_plan_without_its_item_is_passed_over() -> None:
    desks = seats(1, at(10), 5)
    hall = replace(plan(2, at(5), "hall"), defaults={"rooms": 3})
    assert held_at_start([BASE, desks, hall], at(10)) == held({"rooms": 3}, "hall")
    back = plan(3, at(20), "basic")
    assert held_at_start([BASE, desks, hall, back], at(20)) == held({"rooms": 3, "seats": 1})


@pytest.mark.parametrize("asked_first", [True, False])
def test_an_add_on_is_held_with_whichever_plan_was_asked_for_after_it(asked_first: bool) -> None:
    added = replace(seats(1, at(10), 5), items={"lockers": 2}, addons={"lockers": VERSION})
    removed = replace(seats(2, at(20), 5), items={"lockers": 0})
    hall = replace(plan(3, at(5), "hall"), defaults={"rooms": 3})
    asked = [added, removed, hall] if asked_first else [hall, added, removed]
    wanted = HeldTerms("hall", VERSION, {"rooms": 3, "lockers": 2}, {"lockers": VERSION})
    assert held_at_start([BASE, *asked], at(10)) == wanted
    assert held_at_start([BASE, *asked], at(20)) == held({"rooms": 3}, "hall")


@pytest.mark.parametrize(
    ("start", "quantity"),
    [(at(9), 2), (at(10), 5), (at(11), 5)],
)
def test_a_change_for_the_period_end_holds_for_what_starts_then(
    start: datetime, quantity: int
) -> None:
    assert held_at_start([BASE, seats(1, at(10), 5)], start) == held({"seats": quantity})


@pytest.mark.parametrize(
    ("start", "quantity"),
    [(at(9), 2), (at(10), 2), (at(10, 1), 5)],
)
def test_a_change_within_a_period_holds_for_what_starts_after_it(
    start: datetime, quantity: int
) -> None:
    assert held_at_start([BASE, seats(1, at(10), 5, NOW)], start) == held({"seats": quantity})


def test_what_is_stored_is_what_holds_before_the_next_period() -> None:
    asked = [BASE, seats(1, at(10), 5), seats(2, at(15), 6, NOW), seats(3, at(20), 7)]

    assert held_in(asked, (at(10), at(15))) == held({"seats": 5})
    assert held_in(asked, (at(10), at(20))) == held({"seats": 6})
    assert held_in(asked, (at(20), at(30))) == held({"seats": 7})
    assert held_in(asked, None) == held({"seats": 2})


def test_what_lies_within_a_period_that_a_cut_made_longer_holds_from_its_end_on() -> None:
    asked = [BASE, seats(1, at(10), 5), replace(plan(2, at(12), "pro"), applies=NOW)]

    assert held_in(asked, (at(5), at(20))) == held({"seats": 2, "rooms": 3}, "pro")
    assert held_after(asked, UUID(int=2), at(5)) == held({"seats": 2, "rooms": 3}, "pro")
    assert held_after(asked, UUID(int=2), at(10)) == held({"seats": 5, "rooms": 3}, "pro")
    assert held_at_start(asked, at(20)) == held({"seats": 5, "rooms": 3}, "pro")


def test_the_last_change_that_names_an_item_wins_and_others_are_kept() -> None:
    asked = [BASE, seats(1, at(10), 5), plan(2, at(10), "pro"), seats(3, at(10), 7)]

    assert held_at_start(asked, at(10)) == held({"seats": 7, "rooms": 3}, "pro")
    assert held_after(asked, UUID(int=2), None) == held({"seats": 5, "rooms": 3}, "pro")
    assert held_after(asked, UUID(int=9), None) is None


def test_a_plan_keeps_quantities_that_it_does_not_name() -> None:
    asked = [BASE, plan(1, at(10), "pro", rooms=4)]

    assert held_at_start(asked, at(10)) == held({"seats": 2, "rooms": 4}, "pro")


def test_a_later_instant_comes_later_whatever_was_asked_for_first() -> None:
    asked = [BASE, seats(1, at(20), 9), seats(2, at(10), 5, NOW)]

    assert held_at_start(asked, at(15)) == held({"seats": 5})
    assert held_at_start(asked, at(20)) == held({"seats": 9})


def test_what_was_withdrawn_never_held() -> None:
    first, second = seats(1, at(10), 5), plan(2, at(10), "pro")
    asked = [BASE, first, second, withdrawn(3, first)]

    assert held_at_start(asked, at(10)) == held({"seats": 2, "rooms": 3}, "pro")
    assert scheduled(asked, at(9)) == [second]
    assert scheduled(asked, at(10)) == []


def test_changes_without_what_was_held_before_are_refused() -> None:
    with pytest.raises(ValueError, match="preceded by what it held"):
        held_at_start([seats(1, at(10), 5)], at(11))


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.sampled_from(Applies))),
    st.integers(0, 20),
)
def test_a_period_is_priced_alike_whatever_is_asked_for_later(
    asked: list[tuple[int, int, Applies]], day: int
) -> None:
    start = at(1) + timedelta(days=day)
    changes = [
        seats(n, at(1) + timedelta(days=days), quantity, applies)
        for n, (days, quantity, applies) in enumerate(asked)
    ]
    until_then = [each for each in changes if each.holds_from <= start]

    assert held_at_start([BASE, *changes], start) == held_at_start([BASE, *until_then], start)


UP, DOWN, PLAN_UP, PLAN_DOWN, DAYS = PriceMove
ALL = tuple(PriceMove)
REFUSED_NOW = ErrorCode.CHANGE_PAYMENT_UNDER_WAY
# docs/changes.md has the same table in words.
TABLE = [
    (ChangeStanding.SCHEDULED, ALL, NOW, LATER),
    (ChangeStanding.SCHEDULED, ALL, LATER, LATER),
    (ChangeStanding.TRIALING, ALL, NOW, NOW),
    (ChangeStanding.TRIALING, ALL, LATER, LATER),
    (ChangeStanding.ACTIVE, ALL, NOW, NOW),
    (ChangeStanding.ACTIVE, ALL, LATER, LATER),
    (ChangeStanding.BEING_PAID, ALL, NOW, REFUSED_NOW),
    (ChangeStanding.BEING_PAID, ALL, LATER, LATER),
    (ChangeStanding.PAST_DUE, (UP, PLAN_UP), NOW, ErrorCode.CHANGE_PAST_DUE),
    (ChangeStanding.PAST_DUE, (DOWN, PLAN_DOWN, DAYS), NOW, LATER),
    (ChangeStanding.PAST_DUE, ALL, LATER, LATER),
    (ChangeStanding.UNPAID, ALL, NOW, ErrorCode.CHANGE_UNPAID),
    (ChangeStanding.UNPAID, ALL, LATER, ErrorCode.CHANGE_UNPAID),
    (ChangeStanding.PAUSED, ALL, NOW, LATER),
    (ChangeStanding.PAUSED, ALL, LATER, LATER),
    (ChangeStanding.ENDING, (DOWN,), NOW, NOW),
    (ChangeStanding.ENDING, (UP, PLAN_UP, PLAN_DOWN, DAYS), NOW, ErrorCode.CHANGE_ENDING),
    (ChangeStanding.ENDING, ALL, LATER, ErrorCode.CHANGE_ENDING),
    (ChangeStanding.CANCELED, ALL, NOW, ErrorCode.SUBSCRIPTION_ENDED),
    (ChangeStanding.CANCELED, ALL, LATER, ErrorCode.SUBSCRIPTION_ENDED),
]


@pytest.mark.parametrize(
    ("stands", "move", "applies", "comes_to"),
    [(stands, move, applies, to) for stands, moves, applies, to in TABLE for move in moves],
)
def test_what_becomes_of_a_change(
    stands: ChangeStanding, move: PriceMove, applies: Applies, comes_to: Applies | ErrorCode
) -> None:
    verdict = state_after(stands, move, applies)

    assert (verdict.applies or verdict.refused) == comes_to


def test_the_table_has_every_cell() -> None:
    cells = {(stands, move, applies) for stands, moves, applies, _ in TABLE for move in moves}

    assert cells == {(s, m, a) for s in ChangeStanding for m in PriceMove for a in Applies}


@pytest.mark.parametrize(
    ("status", "ends", "being_paid", "stands"),
    [
        (Status.SCHEDULED, False, False, ChangeStanding.SCHEDULED),
        (Status.TRIALING, False, False, ChangeStanding.TRIALING),
        (Status.ACTIVE, False, False, ChangeStanding.ACTIVE),
        (Status.ACTIVE, False, True, ChangeStanding.BEING_PAID),
        (Status.ACTIVE, True, True, ChangeStanding.ENDING),
        (Status.PAST_DUE, False, True, ChangeStanding.PAST_DUE),
        (Status.PAST_DUE, True, True, ChangeStanding.ENDING),
        (Status.UNPAID, True, False, ChangeStanding.UNPAID),
        (Status.PAUSED, True, False, ChangeStanding.PAUSED),
        (Status.CANCELED, True, True, ChangeStanding.CANCELED),
    ],
)
def test_how_a_subscription_stands(
    status: Status, ends: bool, being_paid: bool, stands: ChangeStanding
) -> None:
    assert standing(status, ends=ends, being_paid=being_paid) is stands


def test_an_add_on_is_held_from_plan_to_plan_until_it_is_removed() -> None:
    added = ItemChange(
        DatedChangeKind.QUANTITY, at(5), UUID(int=1), LATER, items={"sso": 2},
        addons={"sso": VERSION},
    )  # fmt: skip
    removed = ItemChange(DatedChangeKind.QUANTITY, at(15), UUID(int=3), LATER, items={"sso": 0})
    asked = [BASE, added, plan(2, at(10), "pro"), removed]

    assert held_at_start(asked, at(5)) == HeldTerms(
        "basic", VERSION, {"seats": 2, "sso": 2}, {"sso": VERSION}
    )
    assert held_at_start(asked, at(10)) == HeldTerms(
        "pro", VERSION, {"seats": 2, "rooms": 3, "sso": 2}, {"sso": VERSION}
    )
    assert held_at_start(asked, at(15)) == held({"seats": 2, "rooms": 3}, "pro")
    assert added.detail() == {"items": {"sso": 2}, "addons": {"sso": "2026-01-01"}}


def test_a_change_that_cuts_a_period_holds_in_the_one_that_begins_there() -> None:
    cutting = ItemChange(
        DatedChangeKind.PLAN, at(5), UUID(int=3), NOW, plan="pro", version=VERSION,
        items={"seats": 4}, schedule=ScheduleOrder(every=Cadence(1, "year")), cuts=0,
    )  # fmt: skip
    changes = [BASE, seats(1, at(5), 2, NOW), cutting, seats(4, at(5), 9, NOW)]

    held = held_at_start(changes, at(5))

    assert held is not None
    assert (held.plan, held.items["seats"]) == ("pro", 4)
    after = held_at_start(changes, at(6))
    assert after is not None
    assert after.items["seats"] == 9


def test_what_no_period_began_with_is_to_come() -> None:
    def order(n: int, day: int, applies: Applies, cuts: int | None = None) -> ItemChange:
        return ItemChange(
            DatedChangeKind.SCHEDULE, at(day), UUID(int=n), applies,
            schedule=ScheduleOrder(billing_day=n), cuts=cuts,
        )  # fmt: skip

    changes = [
        BASE, order(1, 4, LATER), order(2, 5, LATER), order(3, 5, NOW), order(4, 5, NOW, 0),
        order(5, 6, LATER), seats(6, at(7), 2),
        ItemChange(DatedChangeKind.WITHDRAW, at(5), UUID(int=7), withdraws=UUID(int=5)),
    ]  # fmt: skip

    def days(last_start: datetime | None) -> list[int | None]:
        return [each.order.billing_day for each in orders_to_come(changes, last_start)]

    assert days(None) == [1, 2, 3, 4]
    assert days(at(5)) == [3]
    assert days(at(4)) == [2, 3, 4]
    assert [each.order.billing_day for each in orders_of(changes)] == [1, 2, 3, 4]
