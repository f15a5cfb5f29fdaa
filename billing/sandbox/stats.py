"""What happened so far, for whoever checks the engine against the provider's own books."""

import threading
from collections import Counter
from typing import Any

from billing.sandbox.faults import Faults
from billing.sandbox.http import Delivery, HttpAnswer
from billing.sandbox.store import Store

_CHARGES = """
SELECT json_extract(body, '$.currency'), count(*), sum(json_extract(body, '$.captured'))
FROM objects WHERE kind = 'charge' AND json_extract(body, '$.captured') > 0 GROUP BY 1
"""
_PAID = """
SELECT count(*), coalesce(sum(n > 1), 0) FROM (
  SELECT count(*) AS n FROM objects
  WHERE kind = 'charge' AND json_extract(body, '$.captured') > 0 GROUP BY parent)
"""
_OBJECTS = "SELECT kind, count(*) FROM objects GROUP BY kind"


class Stats:
    """Count requests (since the start) and read captures (from the store, so for ever)."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._lock = threading.Lock()
        self._requests: dict[str, Counter[str]] = {}

    def count(self, name: str, answer: HttpAnswer) -> None:
        """Count one request under its endpoint and outcome."""
        outcome = str(answer.status)
        if answer.delivery is not Delivery.WHOLE:
            outcome = answer.delivery.value
        with self._lock:
            self._requests.setdefault(name, Counter())[outcome] += 1

    def report(self) -> dict[str, Any]:
        """Return the figures; amounts in minor units by currency."""
        with self._store.reading():
            charges = self._store.rows(_CHARGES)
            intents, doubled = self._store.rows(_PAID)[0]
            objects = dict(self._store.rows(_OBJECTS))
        with self._lock:
            requests = {name: dict(counts) for name, counts in self._requests.items()}
        return {
            "requests": requests,
            "faults": dict(self._faults.fired),
            "captures": sum(row[1] for row in charges),
            "captured_amount": {currency: amount for currency, _, amount in charges},
            "captured_payment_intents": intents,
            "payment_intents_captured_more_than_once": doubled,
            "objects": objects,
        }

    def clear(self) -> None:
        """Forget the request counts."""
        with self._lock:
            self._requests.clear()
