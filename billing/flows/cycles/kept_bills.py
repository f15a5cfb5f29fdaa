"""The bills of a batch: what several subscriptions are billed alike is computed once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from billing.plans.terms import Plan, PlanVersion
from billing.pricing import Facts, InvoiceDraft
from billing.rules.periods import ScheduledPeriod
from billing.store.subscriptions.subscriptions import Subscription


class Bill(NamedTuple):
    """The facts of an invoice, what follows from them, and when something is earned first."""

    facts: Facts
    draft: InvoiceDraft
    recognise_at: datetime | None


@dataclass(slots=True)
class KeptBills:
    """What was computed for one catalog, instant and policy; None where nothing is billed."""

    _found: dict[tuple[object, ...], Bill | None] = field(default_factory=dict)

    def of(
        self,
        subscription: Subscription,
        plan: Plan,
        version: PlanVersion,
        scheduled: ScheduledPeriod,
        compute: Callable[[], Bill | None],
    ) -> Bill | None:
        """Return the bill of a subscription that holds nothing of its own, computed or kept."""
        key = (
            plan.code,
            version.effective,
            subscription.currency,
            subscription.quantity,
            subscription.zone,
            scheduled.period.start,
            scheduled.period.end,
            scheduled.part,
            scheduled.whole,
        )
        if key not in self._found:
            self._found[key] = compute()
        return self._found[key]
