"""What invoices of a batch are taxed at: a decision for each, made before its amounts are.

The caller stores a decision before the invoice that follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles.external_taxes import (
    Calculations,
    TaxesToAsk,
    TaxesWanted,
    TaxUndecided,
    decided,
    open_call,
    request_of,
)
from billing.flows.policy import TaxPolicy
from billing.plans.taxes import TaxRate, TaxTerms
from billing.plans.territories import territory_at
from billing.pricing import Facts
from billing.rules.periods import to_local
from billing.store.payments import tax_calls
from billing.store.subscriptions import tax_facts, tax_rates
from billing.store.subscriptions.tax_facts import CustomerTaxFacts, VatCheck
from billing.tax import (
    Buyer,
    TaxDecision,
    TaxedItem,
    Undecided,
    request_at,
    table_decision,
)

_TABLE = "table"


@dataclass(frozen=True, slots=True)
class TaxSources:
    """What decisions of a batch follow from, as it was read, and the decisions.

    `rate_rows` counts the rows of rates, corrections included.
    """

    policy: TaxPolicy
    rates: Sequence[TaxRate] = ()
    facts: Mapping[UUID, Sequence[CustomerTaxFacts]] = field(default_factory=dict)
    checks: Mapping[str, Sequence[VatCheck]] = field(default_factory=dict)
    rate_rows: int = 0
    decided: dict[UUID, TaxDecision] = field(default_factory=dict)
    calculations: Calculations = field(default_factory=Calculations)

    def of(
        self, customer_id: UUID, at: datetime, subscription_id: UUID | None = None
    ) -> "CustomerTaxes":
        """Return what decides on an invoice that is issued at an instant."""
        return CustomerTaxes(self, customer_id, at, subscription_id)

    def buyer(self, customer_id: UUID, at: datetime) -> Buyer:
        """Return what is known of a customer at an instant."""
        found = tax_facts.at_instant(self.facts.get(customer_id, ()), at)
        if found is None:
            return Buyer()
        said = [each for each in self.checks.get(found.vat_id or "", ()) if each.at <= at]
        territory = territory_at(found.country, found.region, found.postal_code)
        return Buyer(
            country=found.country,
            region=found.region,
            postal_code=found.postal_code if self.policy.external is not None else None,
            vat_id=found.vat_id,
            vat_confirmed=said[-1].confirmed if said else None,
            exempt=found.exempt,
            territory=None if territory is None else territory.name,
        )


@dataclass(frozen=True, slots=True)
class CustomerTaxes:
    """What decides on the taxes of one customer's invoice, of a subscription or of none."""

    sources: TaxSources
    customer_id: UUID
    at: datetime
    subscription_id: UUID | None = None

    def taxed(self, facts: Facts, terms: Sequence[TaxTerms]) -> Facts:
        """Return facts with their taxes; `terms` are those of each charge.

        Raises: TaxUndecided; TaxesWanted where a provider has to be asked for them first.
        """
        try:
            if self.sources.policy.external is not None:
                decision = self._by_provider(facts, terms)
            else:
                decision = self._by_table(facts, terms)
        except Undecided as why:
            rows, rates = self._rows, self.sources.rate_rows
            raise TaxUndecided(
                customer_id=self.customer_id, why=why, rows=rows, rates=rates
            ) from why
        if decision is None:
            return facts
        self.sources.decided[decision.id] = decision
        return replace(
            facts,
            taxes=decision.taxes,
            tax_rounding=self.sources.policy.rounding,
            decision=decision.id,
        )

    @property
    def by_provider(self) -> bool:
        """Tell whether a provider computes them, and has to be asked for each invoice."""
        return self.sources.policy.external is not None

    @property
    def _rows(self) -> int:
        """How many rows tell something of the customer."""
        known = self.sources.facts.get(self.customer_id, ())
        return sum(row.holds_from <= self.at for row in known)

    def _by_provider(self, facts: Facts, terms: Sequence[TaxTerms]) -> TaxDecision | None:
        """Return the decision by a provider's answer; None where there is nothing to be taxed.

        Raises: Undecided, TaxesWanted.
        """
        buyer = self.sources.buyer(self.customer_id, self.at)
        on = to_local(self.at, facts.zone).date()
        request = request_of(facts, terms, buyer, on, self.sources.policy)
        if not request.lines:
            return None
        wanted = TaxesToAsk(request, self.customer_id, self.subscription_id)
        found = decided(self.sources.calculations, wanted)
        if found is None:
            wanted = open_call(self.sources.calculations, wanted)
            raise TaxesWanted(
                customer_id=self.customer_id,
                wanted=wanted,
                rows=self._rows,
                rates=self.sources.rate_rows,
            )
        return found

    def _by_table(self, facts: Facts, terms: Sequence[TaxTerms]) -> TaxDecision:
        """Return the decision by the catalog's rates. Raises: Undecided."""
        policy = self.sources.policy
        pairs = zip(facts.charges, terms, strict=True)
        items = [
            TaxedItem(charge.item, each.tax_class or policy.default_class, bool(each.included))
            for charge, each in pairs
        ]
        request = request_at(
            _TABLE,
            policy.seller,
            self.sources.buyer(self.customer_id, self.at),
            items,
            to_local(self.at, facts.zone).date(),
            self.sources.rates,
        )
        return table_decision(request)

    def decision_of(self, facts: Facts | None) -> TaxDecision | None:
        """Return the decision that facts follow from, if there is one."""
        if facts is None or facts.decision is None:
            return None
        return self.sources.decided[facts.decision]


def read(conn: Connection, customers: Sequence[UUID], policy: TaxPolicy) -> TaxSources:
    """Return what decides on the taxes of customers."""
    facts = tax_facts.of_many(conn, customers)
    vat_ids = [row.vat_id for rows in facts.values() for row in rows if row.vat_id is not None]
    calculations = Calculations()
    if policy.external is not None:
        calculations = Calculations(tax_calls.unused(conn, customers))
    return TaxSources(
        policy,
        () if policy.external is not None else tax_rates.published(conn),
        facts,
        tax_facts.checks_of(conn, vat_ids),
        tax_rates.rows(conn),
        calculations=calculations,
    )
