"""One request to a Braintree endpoint, and how a merchant's objects are kept in the common store.

An object's key is `bt:<merchant>:<kind>:<id>`: ids and tokens that merchants choose are theirs.
"""

import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.sandbox.braintree.replies import NoSuchObject
from billing.sandbox.braintree.settings import MerchantSettings, load_settings
from billing.sandbox.call import Call
from billing.sandbox.store import Record, Store
from billing.sandbox.webhooks.outbox import Outbox

CUSTOMER, METHOD, TRANSACTION, DISPUTE = "customer", "method", "transaction", "dispute"
NONCE, DISBURSEMENT, BATCH = "nonce", "disbursement", "batch"
_LETTERS = (string.ascii_lowercase + string.digits).encode()
_TABLE = bytes(_LETTERS[i % len(_LETTERS)] for i in range(256))


def new_ref(length: int = 8) -> str:
    """Return a fresh id in Braintree's style; it begins with a letter."""
    drawn = os.urandom(length).translate(_TABLE).decode()
    return "abcdefghij"[int(drawn[0])] + drawn[1:] if drawn[0].isdigit() else drawn


@dataclass(frozen=True, slots=True)
class MerchantCall:
    """What an endpoint works with: one merchant's part of the store, inside its transaction."""

    store: Store
    outbox: Outbox
    now: int
    merchant: str
    settings: MerchantSettings
    base_url: str = ""
    path: tuple[str, ...] = ()  # the ids in the path
    params: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def key(self, kind: str, ref: str) -> str:
        """Return the key of an object in the store."""
        return f"bt:{self.merchant}:{kind}:{ref}"

    def find(self, kind: str, ref: str | None) -> Record | None:
        """Return the record of one of the merchant's objects."""
        return None if not ref else self.store.find(f"bt_{kind}", self.key(kind, ref))

    def named(self, kind: str, position: int = 0) -> Record:
        """Return the object that the path names. Raises: NoSuchObject."""
        record = self.find(kind, self.path[position])
        if record is None:
            raise NoSuchObject
        return record

    def stored(self, kind: str, key: str) -> Record:
        """Return an object that another one refers to by its key, so it must be there."""
        record = self.store.find(f"bt_{kind}", key)
        assert record is not None, f"{key} is referred to but not stored"
        return record

    def insert(self, kind: str, record: Record, *, ref: str, parent: str | None = None) -> Record:
        """Keep a new object of the merchant; sets its id, its key and its times."""
        record |= {
            "id": self.key(kind, ref),
            "ref": ref,
            "merchant": self.merchant,
            "created": self.now,
            "updated": self.now,
        }
        self.store.insert(f"bt_{kind}", record, parent=parent, subtype=self.merchant)
        return record

    def update(self, record: Record) -> None:
        """Keep what changed of an object."""
        record["updated"] = self.now
        self.store.update(record)

    def select(
        self, kind: str, conditions: Sequence[tuple[str, Any]] = (), *, oldest_first: bool = False
    ) -> list[Record]:
        """Return the merchant's objects of a kind that meet all conditions."""
        mine = ("subtype = ?", self.merchant)
        # Once more as a literal: with a parameter SQLite doesn't see that an index is of the kind.
        literal = (f"kind = 'bt_{kind}'", ())
        return self.store.select(
            f"bt_{kind}", [literal, mine, *conditions], oldest_first=oldest_first
        )


def merchant_of(key: str) -> str:
    """Return the merchant that an object's key names."""
    return key.split(":", 3)[1]


def call_for(call: Call, merchant: str, **more: Any) -> MerchantCall:
    """Return the call of a merchant at the time of the account's call."""
    return MerchantCall(
        store=call.store,
        outbox=call.outbox,
        now=call.now,
        merchant=merchant,
        settings=load_settings(call.store, merchant),
        base_url=call.base_url,
        **more,
    )
