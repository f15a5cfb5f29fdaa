"""Subscription status: what each event makes of each status, and missed periods."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.plans.terms import CatchUpPolicy
from billing.rules.subscriptions import (
    CatchUp,
    CatchUpReason,
    CycleKind,
    DatedChange,
    DatedChangeKind,
    EndedBy,
    Status,
    after_capture,
    after_decline,
    after_give_up,
    after_open,
    after_resume,
    can_cancel,
    can_pause,
    can_resume,
    comes_first,
    cycle_kind,
    initial,
    is_paused,
    is_paused_from_now_on,
    plan_catch_up,
    resumes_with,
    still_collects,
    unpaid_from,
)

TRIALING, ACTIVE, PAST_DUE, UNPAID, PAUSED, CANCELED, SCHEDULED = Status
START = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def test_a_subscription_starts_with_its_trial_or_active() -> None:
    assert initial(has_trial=True) is TRIALING
    assert initial(has_trial=False) is ACTIVE
    assert initial(has_trial=True, starts_later=True) is SCHEDULED
    assert initial(has_trial=False, starts_later=True) is SCHEDULED


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (TRIALING, CycleKind.TRIAL, TRIALING), (TRIALING, CycleKind.REGULAR, ACTIVE),
        (ACTIVE, CycleKind.REGULAR, ACTIVE),
        (SCHEDULED, CycleKind.TRIAL, TRIALING), (SCHEDULED, CycleKind.REGULAR, ACTIVE),
        (TRIALING, CycleKind.SKIPPED, ACTIVE), (PAST_DUE, CycleKind.REGULAR, PAST_DUE),
        (PAST_DUE, CycleKind.SKIPPED, PAST_DUE), (PAUSED, CycleKind.PAUSED, PAUSED),
    ],
)  # fmt: skip
def test_opening_a_cycle_changes_the_status_as_its_kind_says(
    status: Status, kind: CycleKind, expected: Status
) -> None:
    assert after_open(status, kind) is expected


def test_a_paused_subscription_goes_on_in_unbilled_cycles() -> None:
    asked = [DatedChange(DatedChangeKind.PAUSE, START - TICK)]
    assert cycle_kind(asked, START, "regular") == CycleKind.PAUSED
    assert cycle_kind(asked, START, "trial") == CycleKind.PAUSED
    assert cycle_kind([], START, "regular") == CycleKind.REGULAR
    assert cycle_kind([], START, "trial") == CycleKind.TRIAL


def test_a_change_holds_for_the_periods_that_start_after_it() -> None:
    paused = DatedChange(DatedChangeKind.PAUSE, START)
    resumed = DatedChange(DatedChangeKind.RESUME, START + TICK)

    assert not is_paused([], START)
    assert not is_paused([paused], START), "it has begun: it stays what it is"
    assert is_paused([paused], START + TICK)
    assert is_paused([paused, resumed], START + TICK)
    assert not is_paused([paused, resumed], START + 2 * TICK)
    assert is_paused([paused, DatedChange(DatedChangeKind.CANCEL, START + TICK)], START + 2 * TICK)
    assert is_paused([paused, DatedChange(DatedChangeKind.RESUME, START)], START) is False
    assert is_paused([resumed, DatedChange(DatedChangeKind.PAUSE, START + TICK)], START + 2 * TICK)


def test_nothing_is_collected_after_an_end_by_a_ladder_or_a_dispute() -> None:
    ends = [each for each in EndedBy if not still_collects(each)]
    assert ends == [EndedBy.LADDER, EndedBy.DISPUTE]
    assert still_collects(None)


def test_it_is_unpaid_from_the_instant_that_was_decided_last_until_it_is_paid() -> None:
    unpaid, paid = (
        DatedChange(DatedChangeKind.UNPAID, START),
        DatedChange(DatedChangeKind.PAID, START),
    )
    again = DatedChange(DatedChangeKind.UNPAID, START + TICK)
    resumed = DatedChange(DatedChangeKind.RESUME, START + 2 * TICK)

    assert unpaid_from([]) is None
    assert unpaid_from([resumed]) is None
    assert unpaid_from([paid, unpaid, resumed]) == START
    assert unpaid_from([unpaid, paid]) is None
    assert unpaid_from([unpaid, paid, again]) == START + TICK
    assert unpaid_from([unpaid, paid, again, resumed]) == START + TICK


def test_an_end_at_the_start_of_the_next_period_comes_first() -> None:
    assert comes_first(START, START)
    assert comes_first(START - TICK, START)
    assert not comes_first(START + TICK, START)
    assert not comes_first(None, START)
    assert not comes_first(START, None)


def test_the_last_word_on_pausing_is_what_counts_from_now_on() -> None:
    paused, resumed = (
        DatedChange(DatedChangeKind.PAUSE, START),
        DatedChange(DatedChangeKind.RESUME, START),
    )

    assert not is_paused_from_now_on([])
    assert not is_paused_from_now_on([DatedChange(DatedChangeKind.CANCEL, START)])
    assert is_paused_from_now_on([paused, DatedChange(DatedChangeKind.CANCEL, START)])
    assert not is_paused_from_now_on([paused, resumed])


@pytest.mark.parametrize("owing", [PAST_DUE, UNPAID])
def test_a_paid_debt_does_not_end_a_pause(owing: Status) -> None:
    assert after_capture(owing, other_open_past_due=False, paused=True) is PAUSED
    assert after_capture(owing, other_open_past_due=True, paused=True) is owing


# status: after a decline; after a payment, others past due or not; given up, cancel or unpaid
EVENTS = {
    TRIALING: (PAST_DUE, TRIALING, TRIALING, CANCELED, UNPAID),
    ACTIVE: (PAST_DUE, ACTIVE, ACTIVE, CANCELED, UNPAID),
    PAST_DUE: (PAST_DUE, PAST_DUE, ACTIVE, CANCELED, UNPAID),
    UNPAID: (UNPAID, UNPAID, ACTIVE, CANCELED, UNPAID),
    PAUSED: (PAUSED, PAUSED, PAUSED, CANCELED, UNPAID),
    CANCELED: (CANCELED, CANCELED, CANCELED, CANCELED, CANCELED),
    SCHEDULED: (SCHEDULED, SCHEDULED, SCHEDULED, CANCELED, UNPAID),
}


@pytest.mark.parametrize("status", Status)
def test_what_payments_make_of_a_status(status: Status) -> None:
    assert EVENTS[status] == (
        after_decline(status),
        after_capture(status, other_open_past_due=True),
        after_capture(status, other_open_past_due=False),
        after_give_up(status, "cancel"),
        after_give_up(status, "unpaid"),
    )


@pytest.mark.parametrize("status", Status)
def test_what_may_be_asked_of_a_status(status: Status) -> None:
    assert can_cancel(status) is (status is not CANCELED)
    assert can_pause(status) is (status in {SCHEDULED, TRIALING, ACTIVE, PAST_DUE})
    assert can_resume(status) is (status in (PAUSED, UNPAID))


def test_a_resumed_subscription_is_where_its_debts_and_trial_put_it() -> None:
    assert after_resume(in_trial=False, open_past_due=False) is ACTIVE
    assert after_resume(in_trial=True, open_past_due=False) is TRIALING
    assert after_resume(in_trial=False, open_past_due=True) is PAST_DUE


@pytest.mark.parametrize(
    ("policy", "missed", "expected"),
    [
        ("bill", 0, CatchUp("bill", CatchUpReason.NONE_MISSED)),
        ("skip", 0, CatchUp("bill", CatchUpReason.NONE_MISSED)),
        ("park", 0, CatchUp("bill", CatchUpReason.NONE_MISSED)),
        ("bill", 1, CatchUp("bill", CatchUpReason.WITHIN_CAP)),
        ("bill", 3, CatchUp("bill", CatchUpReason.WITHIN_CAP)),
        ("bill", 4, CatchUp("park", CatchUpReason.OVER_CAP)),
        ("skip", 1, CatchUp("skip", CatchUpReason.PLAN_SKIPS)),
        ("skip", 9, CatchUp("skip", CatchUpReason.PLAN_SKIPS)),
        ("park", 1, CatchUp("park", CatchUpReason.PLAN_PARKS)),
    ],
)  # fmt: skip
def test_missed_periods_are_billed_skipped_or_parked_by_policy_and_cap(
    policy: CatchUpPolicy, missed: int, expected: CatchUp
) -> None:
    assert plan_catch_up(policy, 3, missed) == expected


def test_missed_periods_are_counted_from_none() -> None:
    with pytest.raises(ValueError, match="from 0"):
        plan_catch_up("bill", 3, -1)


def test_a_pause_whose_end_has_a_date_holds_until_then() -> None:
    asked = [
        DatedChange(DatedChangeKind.PAUSE, datetime(2026, 1, 10, tzinfo=UTC)),
        DatedChange(DatedChangeKind.RESUME, datetime(2026, 3, 1, tzinfo=UTC)),
    ]
    february, march, after = (
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 1, tzinfo=UTC),
    )

    assert [is_paused(asked, start) for start in (february, march, after)] == [True, True, False]
    assert [resumes_with(asked, at) for at in (february, march, after)] == [False, False, True]
    assert [is_paused_from_now_on(asked, at) for at in (february, march)] == [True, False]
    assert not is_paused_from_now_on(asked)
    assert not resumes_with([], march)
    assert not resumes_with([*asked, DatedChange(DatedChangeKind.PAUSE, february)], after)
