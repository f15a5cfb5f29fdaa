"""What is owed to webhook endpoints: a row for each event and endpoint, kept with the event."""

import threading

from billing.sandbox.store import Store

# A delivery is pending, delivered, failed (given up) or lost (on purpose).
STRIPE = "stripe"  # endpoints and events belong together by family
NOT_DELIVERED = "(SELECT event FROM deliveries WHERE state <> 'delivered')"


def family_of(merchant: str) -> str:
    """Return the family of a Braintree merchant's endpoints and notifications."""
    return f"braintree:{merchant}"


class Outbox:
    """Owe events to the endpoints that want them; costs nothing while there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._endpoints: list[tuple[str, str, frozenset[str]]] | None = None
        self._changed = threading.Condition()
        self._changes = 0

    def add(self, event_id: str, event_type: str, family: str = STRIPE) -> None:
        """Owe an event to each endpoint of its family that wants it, in the event's transaction."""
        endpoints = self._enabled()
        if not endpoints:
            return
        wanting = [
            endpoint
            for endpoint, its_family, types in endpoints
            if its_family == family and types & {"*", event_type}
        ]
        for endpoint in wanting:
            self._store.rows(
                "INSERT INTO deliveries (event, endpoint) VALUES (?, ?)", (event_id, endpoint)
            )
        if wanting:
            self.announce()

    def _enabled(self) -> list[tuple[str, str, frozenset[str]]]:
        if self._endpoints is None:
            kept = [
                *self._store.select("webhook_endpoint", oldest_first=True),
                *self._store.select("bt_webhook", oldest_first=True),
            ]
            self._endpoints = [
                (each["id"], each.get("family", STRIPE), frozenset(each["enabled_events"]))
                for each in kept
                if not each["disabled"]
            ]
        return self._endpoints

    def enabled_ids(self) -> set[str]:
        """Return the endpoints that get events."""
        return {endpoint for endpoint, _, _ in self._enabled()}

    def endpoints_changed(self) -> None:
        """Look the endpoints up anew, in the transaction that changed them."""
        self._endpoints = None
        self.announce()

    def drop(self, endpoint_id: str) -> None:
        """Owe nothing more to an endpoint that is being deleted."""
        query = "DELETE FROM deliveries WHERE endpoint = ? AND state <> 'delivered'"
        self._store.rows(query, (endpoint_id,))

    def pending(self, event_id: str) -> int:
        """Return how many endpoints haven't got an event."""
        query = "SELECT count(*) FROM deliveries WHERE event = ? AND state <> 'delivered'"
        return int(self._store.rows(query, (event_id,))[0][0])

    def counts(self) -> dict[str, int]:
        """Return how many deliveries are in each state."""
        return dict(self._store.rows("SELECT state, count(*) FROM deliveries GROUP BY state"))

    def announce(self) -> None:
        """Wake the senders: there may be something to send."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def wait(self, seen: int, seconds: float | None) -> int:
        """Wait for a change after `seen`, or until the time is over; return the newest."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, seconds)
            return self._changes
