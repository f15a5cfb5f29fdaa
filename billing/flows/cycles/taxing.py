"""What invoices of a batch are taxed at: a decision for each, made before its amounts are.

The caller stores a decision before the invoice that follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.flows.policy import TaxPolicy
from billing.plans.taxes import TaxRate, TaxTerms
from billing.plans.territories import territory_at
from billing.pricing import Facts
from billing.rules.periods import to_local
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


class TaxUndecided(Conflict):
    """No tax can be decided: nothing is invoiced without."""

    code = ErrorCode.TAX_UNDECIDED

    def __init__(self, customer_id: UUID, why: Undecided, rows: int, rates: int) -> None:
        super().__init__(
            f"the taxes of customer {customer_id} can't be decided: {why}",
            where="tax",
            code=ErrorCode.TAX_UNDECIDED,
            customer_id=customer_id,
            why=why.reason,
            country=why.country,
            tax_class=why.tax_class,
            rows=rows,
            rates=rates,
        )


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

    def of(self, customer_id: UUID, at: datetime) -> "CustomerTaxes":
        """Return what decides on a customer's invoice that is issued at an instant."""
        return CustomerTaxes(self, customer_id, at)

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
            vat_id=found.vat_id,
            vat_confirmed=said[-1].confirmed if said else None,
            exempt=found.exempt,
            territory=None if territory is None else territory.name,
        )


@dataclass(frozen=True, slots=True)
class CustomerTaxes:
    """What decides on the taxes of one customer's invoice."""

    sources: TaxSources
    customer_id: UUID
    at: datetime

    def taxed(self, facts: Facts, terms: Sequence[TaxTerms]) -> Facts:
        """Return facts with their taxes; `terms` are those of each charge. Raises: TaxUndecided."""
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
        try:
            decision = table_decision(request)
        except Undecided as why:
            known = self.sources.facts.get(self.customer_id, ())
            rows = sum(row.holds_from <= self.at for row in known)
            raise TaxUndecided(
                customer_id=self.customer_id, why=why, rows=rows, rates=self.sources.rate_rows
            ) from why
        self.sources.decided[decision.id] = decision
        return replace(
            facts,
            taxes=decision.taxes,
            tax_rounding=policy.rounding,
            decision=decision.id,
        )

    def decision_of(self, facts: Facts | None) -> TaxDecision | None:
        """Return the decision that facts follow from, if there is one."""
        if facts is None or facts.decision is None:
            return None
        return self.sources.decided[facts.decision]


def read(conn: Connection, customers: Sequence[UUID], policy: TaxPolicy) -> TaxSources:
    """Return what decides on the taxes of customers."""
    facts = tax_facts.of_many(conn, customers)
    vat_ids = [row.vat_id for rows in facts.values() for row in rows if row.vat_id is not None]
    return TaxSources(
        policy,
        tax_rates.published(conn),
        facts,
        tax_facts.checks_of(conn, vat_ids),
        tax_rates.rows(conn),
    )
