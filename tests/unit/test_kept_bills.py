"""What a batch computes once is what each subscription would have been billed on its own."""

import gc
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError
from billing.flows.cycles.charging import NOTHING_HELD
from billing.flows.cycles.collecting import collected_later
from billing.flows.cycles.deciding import CannotOpen, Opening, decide
from billing.flows.cycles.kept_bills import KeptBills
from billing.flows.policy import Policy
from billing.plans.terms import Cadence, Plan, PlanVersion
from billing.store.subscriptions.subscriptions import Subscription
from tests.unit.test_opening import subscription

NOW = datetime(2024, 6, 1, tzinfo=UTC)
POLICY = Policy(minimum_amounts={"USD": 50, "EUR": 50})


def plan(code: str, price: int) -> Plan:
    version = PlanVersion(
        plan=code,
        effective=date(2024, 1, 1),
        existing="keep",
        every=Cadence(1, "month"),
        trial=None,
        anchor_day=None,
        prices={"USD": price, "EUR": price - 1},
    )
    return Plan(code, code, code, None, None, (version,))


CATALOG = {each.code: each for each in (plan("late", 900), plan("cheap", 10), plan("free", 1))}
HELD = st.builds(
    lambda day, hour, **changes: replace(
        subscription("1 month", day, next_n=3),
        anchor_local=datetime(2024, 1, 15, hour),  # noqa: DTZ001  civil time
        **changes,
    ),
    st.sampled_from([None, 1, 31]),
    st.sampled_from([0, 12]),
    plan=st.sampled_from(sorted(CATALOG)),
    currency=st.sampled_from(["USD", "EUR", "CHF"]),
    quantity=st.sampled_from([0, 1, 2, 10**9]),
    zone=st.sampled_from(["UTC", "America/New_York"]),
    carried=st.sampled_from([0, 0, 7]),
)


def opened(due: Subscription, kept: KeptBills | None) -> Opening | str:
    due = replace(due, renews_at=due.timetable.nth(due.next_n).period.start)
    try:
        return decide(due, CATALOG, NOW, POLICY, held=NOTHING_HELD, kept=kept)
    except CannotOpen as why:
        return f"{why.reason} {why.facts}"
    except BillingError as error:
        return str(error)


@given(st.lists(HELD, min_size=2, max_size=8))
def test_a_batch_bills_each_subscription_as_if_it_were_alone(batch: list[Subscription]) -> None:
    kept = KeptBills()
    assert [opened(due, kept) for due in batch] == [opened(due, None) for due in batch]


def test_subscriptions_that_are_billed_alike_have_one_bill() -> None:
    kept = KeptBills()
    first, second, larger = (
        opened(replace(subscription("1 month", None, next_n=3), quantity=quantity), kept)
        for quantity in (2, 2, 3)
    )
    assert isinstance(first, Opening)
    assert isinstance(second, Opening)
    assert isinstance(larger, Opening)
    assert first.draft is second.draft
    assert larger.draft is not None
    assert larger.draft.total == 2700


def test_garbage_is_collected_again_after_a_batch_that_failed() -> None:
    def fail() -> None:
        with collected_later():
            assert not gc.isenabled()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert gc.isenabled()


def test_who_collects_nothing_goes_on_collecting_nothing() -> None:
    gc.disable()
    try:
        with collected_later():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
