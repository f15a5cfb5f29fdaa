"""Checks of each account at a provider: its captures and payouts against our rows and journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, text

from billing.flows.settlement.tie_out import TieOut
from billing.rules.money import Money
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.demo.world import BRAINTREE, STRIPE


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """Actual counts of one account beside the provider's own.

    `captures` are the provider's, but for those that no engine asked for; `repeated` counts what it
    captured more than once. `paid_out` is what it paid out and `booked_out` what the journal has of
    that; `unexplained` is what the tie-out leaves: by currency, in minor units.
    """

    account: str
    captures: int = 0
    captured_payments: int = 0
    in_journal: int = 0
    settled: int = 0
    repeated: int = 0
    paid_out: Mapping[str, int] = field(default_factory=dict)
    booked_out: Mapping[str, int] = field(default_factory=dict)
    unexplained: Mapping[str, int] = field(default_factory=dict)

    def findings(self) -> list[str]:
        """Return in words what doesn't add up."""
        found = []
        counts = (self.captures, self.captured_payments, self.in_journal, self.settled)
        if len(set(counts)) != 1:
            found.append(
                f"{self.account}: {self.captures} captures there, {self.captured_payments} captured"
                f" payments, {self.in_journal} in the journal, {self.settled} settled"
            )
        if self.repeated:
            found.append(f"{self.account}: {self.repeated} captured more than once")
        if dict(self.paid_out) != dict(self.booked_out):
            found.append(
                f"{self.account}: paid out {dict(self.paid_out)}, booked {dict(self.booked_out)}"
            )
        return found + [
            f"{self.account}: {Money(amount, currency)} of the provider's balance are unexplained"
            for currency, amount in self.unexplained.items()
            if amount
        ]


_CAPTURED: Final = text(
    """
    SELECT provider, count(*) AS captured_payments,
           count(*) FILTER (WHERE settled_at IS NOT NULL) AS settled
      FROM payments WHERE captured_at IS NOT NULL GROUP BY provider
    """
)
_IN_JOURNAL: Final = text(
    """
    SELECT a.provider, count(*) FILTER (WHERE e.kind = 'payment_captured') AS captures
      FROM ledger.entries e
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
     GROUP BY a.provider
    """
)
_PAID_OUT: Final = text(
    """
    SELECT a.provider, a.currency, -sum(l.amount) AS amount
      FROM ledger.entries e
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
     WHERE e.kind = 'payout_sent' GROUP BY a.provider, a.currency
    """
)


def accounts(
    conn: Connection, sandbox: SandboxControl, lines: Sequence[TieOut], *, taken: int
) -> list[AccountFigures]:
    """Count what each account holds; `taken` captures of the first no engine asked for."""
    first, second = sandbox.stats(), sandbox.braintree("stats")
    ours = {row.provider: row for row in conn.execute(_CAPTURED)}
    journal = {row.provider: int(row.captures) for row in conn.execute(_IN_JOURNAL)}
    booked: dict[str, dict[str, int]] = {}
    for row in conn.execute(_PAID_OUT):
        booked.setdefault(row.provider, {})[row.currency] = int(row.amount)
    theirs = {
        STRIPE: (
            int(first["captures"]) - taken,
            int(first["payment_intents_captured_more_than_once"]),
            {},
        ),
        BRAINTREE: (
            int(second["captures"]),
            int(second["orders_captured_more_than_once"]),
            second["disbursed_amount"],
        ),
    }
    return [
        AccountFigures(
            account=name,
            captures=captures,
            captured_payments=int(ours[name].captured_payments) if name in ours else 0,
            in_journal=journal.get(name, 0),
            settled=int(ours[name].settled) if name in ours else 0,
            repeated=repeated,
            paid_out={code: int(amount) for code, amount in paid_out.items() if amount},
            booked_out=booked.get(name, {}),
            unexplained={
                line.currency: line.unexplained
                for line in lines
                if line.account == name and line.unexplained
            },
        )
        for name, (captures, repeated, paid_out) in theirs.items()
    ]
