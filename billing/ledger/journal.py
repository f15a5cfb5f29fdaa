"""Journal entries: balanced records of one business event. An unbalanced one can't be built.

A posting is signed: debit positive, credit negative. Within an entry the postings of each
currency add up to zero. Entries don't change; a mistake is corrected by an exact reversal
and a new entry.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from billing.ledger.accounts import Account
from billing.rules.money import Money

# The database repeats both patterns as CHECKs. They allow no character that JSON escapes, so
# `ledger verify` can compute the payload hash inside the database.
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_SOURCE_KEY: Final = re.compile(r"[a-z][a-z0-9_]*:[A-Za-z0-9_:./+-]{1,200}", re.ASCII)
_LINES_MAX: Final = 1000
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class JournalError(ValueError):
    """The given values don't make a journal entry."""


class EmptyEntry(JournalError):
    """The entry has no postings, or a posting of nothing."""


class UnbalancedEntry(JournalError):
    """Debits and credits of a currency differ."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One signed leg of an entry: debit positive, credit negative, never zero."""

    account: Account
    money: Money

    def __post_init__(self) -> None:
        if not isinstance(self.account, Account):
            raise TypeError(f"a posting needs an Account, not {self.account!r}")
        if not isinstance(self.money, Money):
            raise TypeError(f"a posting needs Money, not {self.money!r}")
        if self.money.amount == 0:
            raise EmptyEntry(f"a posting of nothing to {self.account}: leave the line out")

    def negated(self) -> "Posting":
        """Return the posting that cancels this one."""
        return Posting(self.account, -self.money)


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced record of one business event.

    `source_key` names the event: the journal holds one entry per key, and a retry must bring the
    same payload. `effective_at` is when the event happened, so it has to come from the event (a
    provider's time, a stored time), not from the clock of the retry. `reverses` is the source key
    of the entry that this one reverses. `customer_id` names the customer where the accounts have no
    owner; the hash leaves it out, because it follows from the event.
    """

    kind: str
    source_key: str
    effective_at: datetime
    postings: tuple[Posting, ...]
    cycle_id: uuid.UUID | None = field(default=None, kw_only=True)
    reverses: str | None = field(default=None, kw_only=True)
    customer_id: uuid.UUID | None = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        self._check_names()
        self._check_types()
        if not self.postings:
            raise EmptyEntry(f"{self.source_key} has no postings")
        for currency, total in self.sums().items():
            if total != 0:
                raise UnbalancedEntry(
                    f"{self.source_key} doesn't balance: {currency} postings add up to {total}"
                )

    def _check_names(self) -> None:
        if not isinstance(self.kind, str) or not _KIND.fullmatch(self.kind):
            raise JournalError(f"{self.kind!r} is no kind of entry: write it like invoice_issued")
        for key in (self.source_key, self.reverses):
            if key is not None and not (isinstance(key, str) and _SOURCE_KEY.fullmatch(key)):
                raise JournalError(f"{key!r} is no source key: write it like invoice_issued:{{id}}")
        if self.source_key is None:
            raise JournalError("an entry needs a source key")
        if self.reverses == self.source_key:
            raise JournalError(f"{self.source_key} can't reverse itself")

    def _check_types(self) -> None:
        if not isinstance(self.effective_at, datetime) or self.effective_at.utcoffset() is None:
            raise JournalError(f"{self.source_key} needs an aware instant: {self.effective_at!r}")
        if self.cycle_id is not None and not isinstance(self.cycle_id, uuid.UUID):
            raise JournalError(f"{self.source_key}: {self.cycle_id!r} is no cycle id")
        if not isinstance(self.postings, tuple):
            raise JournalError(f"{self.source_key}: postings come as a tuple")
        if not all(isinstance(posting, Posting) for posting in self.postings):
            raise JournalError(f"{self.source_key}: something among its postings is none")
        if len(self.postings) > _LINES_MAX:
            raise JournalError(f"{self.source_key} has more than {_LINES_MAX} postings")

    def customer(self) -> uuid.UUID | None:
        """Return the entry's customer: its `customer_id`, or the owner of one of its accounts."""
        owners = (posting.account.owner_id for posting in self.postings)
        return self.customer_id or next((owner for owner in owners if owner), None)

    def sums(self) -> Mapping[str, int]:
        """Return the sum of the postings by currency; each is zero, as the constructor checks."""
        totals: dict[str, int] = {}
        for posting in self.postings:
            money = posting.money
            totals[money.currency] = totals.get(money.currency, 0) + money.amount
        return totals

    def payload_hash(self) -> bytes:
        """Return the SHA-256 of the entry's content: all but its source key, customer and provider.

        The account at a provider follows from the event, as the customer does, and entries from
        before accounts had names keep their hash.
        It is the same for the postings in another order and for the instant in another zone, so a
        retry by a later version of the program still matches.
        """
        return hashlib.sha256(self._canonical().encode()).digest()

    def _canonical(self) -> str:
        rows = [
            (
                str(posting.account.code),
                str(posting.account.owner_id or ""),
                posting.money.currency,
                posting.money.amount,
            )
            for posting in self.postings
        ]
        at = self.effective_at.astimezone(UTC).replace(tzinfo=None)
        return _ENCODER.encode(
            {
                "cycle_id": str(self.cycle_id or ""),
                "effective_at": at.isoformat(timespec="microseconds"),
                "kind": self.kind,
                "postings": sorted(rows),
                "reverses": self.reverses or "",
            }
        )
