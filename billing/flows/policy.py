"""The configuration's values that flows follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from billing.gateway.capabilities import Capabilities
from billing.plans.terms import Cadence, Dunning
from billing.pricing import TaxRounding
from billing.rules import backoff
from billing.rules.dunning import Budget
from billing.rules.recognition import Mode, Once
from billing.tax import Seller

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far a machine's clock may be ahead of the database's before it opens nothing."""
_LONGEST_TOLD: Final = timedelta(hours=1)  # a provider asks for no longer pause

DEFAULT_LADDER: Final = Dunning((Cadence(3, "day"), Cadence(5, "day"), Cadence(7, "day")), "cancel")
CatchUpPolicy = Literal["bill", "skip", "park"]
BelowMinimum = Literal["waive", "park"]
Numbering = Literal["subscription", "series"]


@dataclass(frozen=True, slots=True)
class ExternalTaxes:
    """The account whose provider computes taxes, and its code for each class of taxes."""

    account: str
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaxPolicy:
    """How invoices are taxed: by whom, how tax is rounded, and the class of what says none.

    Without an `external` they follow from the catalog's rates.
    """

    seller: Seller
    rounding: TaxRounding = TaxRounding.GROUP
    default_class: str = "standard"
    external: ExternalTaxes | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The configured values for all plans; a plan may have a ladder and a catch-up policy of its
    own.

    `lease` must be longer than the gateway's deadline: during the lease, no other worker sends the
    attempt. `reconciler_lease` is the same for a step of a settlement run and for events being
    handled; each batch renews it. `key_max_age` shortens the time for which we trust a provider to
    remember an idempotency key; for an older key, an unknown attempt is looked up in the provider's
    lists and not sent again. `confirm_grace` is how long a charge may be missing from the
    provider's list, `settle_grace` how much longer than usual its settlement may take to appear.
    `below_minimum` says what becomes of a due amount that is smaller than a provider takes.
    `authorization_window` is how long an authorisation waits to be captured. `movement_accounts`
    names the ledger's account by a provider's word for a movement that the engine doesn't know.
    `numbering` says whether invoices of subscriptions are numbered within each subscription, or
    all in the series whose numbers begin with `number_prefix`. Without a `tax` nothing is taxed.
    `usage_wait` is how long after a period's end its usage is billed; with `counts_paused` what is
    used in a paused period is counted, and billed.
    """

    mode: str = "sandbox"
    ladder: Dunning = DEFAULT_LADDER
    budget: Budget = field(default_factory=Budget)
    catch_up: CatchUpPolicy = "bill"
    catch_up_cap: int = 3
    minimum_amounts: Mapping[str, int] = field(default_factory=dict)
    below_minimum: BelowMinimum = "waive"
    dispatch_window: timedelta = timedelta(seconds=60)
    lease: timedelta = timedelta(seconds=120)
    reconciler_lease: timedelta = timedelta(minutes=5)
    unknown_backoff: timedelta = timedelta(seconds=5)
    unknown_backoff_max: timedelta = timedelta(minutes=10)
    key_max_age: timedelta | None = None
    confirm_grace: timedelta = timedelta(hours=1)
    settle_grace: timedelta = timedelta(days=1)
    recognise: Mode = "period_end"
    recognise_once: Once = "issue"
    authorization_window: timedelta = timedelta(days=7)
    movement_accounts: Mapping[str, str] = field(default_factory=dict)
    numbering: Numbering = "subscription"
    number_prefix: str = "INV"
    tax: TaxPolicy | None = None
    usage_wait: timedelta = timedelta(hours=1)
    counts_paused: bool = False

    @property
    def usage_wait_seconds(self) -> int:
        """How many seconds usage has to arrive before it is billed."""
        return self.usage_wait // timedelta(seconds=1)

    @property
    def series_of_subscriptions(self) -> str | None:
        """The series that invoices of subscriptions are numbered in, None: each has its own."""
        return self.number_prefix if self.numbering == "series" else None

    @property
    def longest_hold(self) -> timedelta:
        """How far ahead a lease or a message's window can lie that was set by a right clock."""
        holds = (self.lease, self.dispatch_window, self.unknown_backoff_max, _LONGEST_TOLD)
        return max(holds) + CLOCK_TOLERANCE

    def is_held(self, lease_until: datetime | None, wall: datetime) -> bool:
        """Tell whether a lease runs; one that a wrong clock set, far ahead, is over."""
        return lease_until is not None and wall < lease_until <= wall + self.longest_hold

    def keys_hold(self, capabilities: Capabilities) -> timedelta:
        """Return up to which age a key is sent again: the provider's limit, or less."""
        return min(capabilities.key_max_age, self.key_max_age or capabilities.key_max_age)

    def pause(self, sends: int, at_least: timedelta | None = None) -> timedelta:
        """Return the pause before asking again: doubling, bounded, or as the provider says."""
        pause = backoff.pause(sends, first=self.unknown_backoff, longest=self.unknown_backoff_max)
        return max(pause, at_least or pause)
