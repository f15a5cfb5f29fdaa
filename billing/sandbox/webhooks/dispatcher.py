"""The dispatcher: one sender for each endpoint, and single deliveries on demand."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from billing.sandbox.account import SandboxAccount
from billing.sandbox.clock import real_now
from billing.sandbox.store import Record, Store
from billing.sandbox.webhooks.conditions import Conditions, load_conditions, save_conditions
from billing.sandbox.webhooks.endpoint_sender import EndpointSender, delivered
from billing.sandbox.webhooks.outbox import Outbox
from billing.sandbox.webhooks.posts import FAMILIES, Family
from billing.sandbox.webhooks.sender import Sender


class WebhookDispatcher:
    """Deliver the events of the outbox. It works beside the requests and never delays one."""

    def __init__(self, account: SandboxAccount) -> None:
        self._account = account
        self.store: Store = account.store
        self.outbox: Outbox = account.outbox
        self.conditions: Conditions = load_conditions(self.store)
        self._senders: dict[str, EndpointSender] = {}
        self._incidents: Counter[str] = Counter()
        self._counting = threading.Lock()

    def match_endpoints(self) -> None:
        """Run one sender for every enabled endpoint, and none for others."""
        with self.store.reading():
            wanted = self.outbox.enabled_ids()
        for endpoint in wanted - set(self._senders):
            self._senders[endpoint] = EndpointSender(self, endpoint)
            self._senders[endpoint].start()
        for endpoint in set(self._senders) - wanted:
            self._senders.pop(endpoint).stop()

    def change(self, changes: dict[str, Any]) -> Conditions:
        """Change the conditions of delivery. Raises: ValueError."""
        self.conditions = self.conditions.changed(changes)
        with self.store.transaction():
            save_conditions(self.store, self.conditions)
        self.outbox.announce()
        return self.conditions

    def post(self, sender: Sender, event_id: str, endpoint_id: str) -> str | None:
        """Send an event; return the answer, or None when the endpoint is gone or disabled."""
        now = self.conditions
        found = self._found(event_id, endpoint_id)
        if found is None or found[1]["disabled"]:
            return None
        return self._send(sender, *found, now.signature, now.timestamp_offset)

    def count(self, incident: str) -> None:
        """Count what happened to a delivery on the way; since the start."""
        with self._counting:
            self._incidents[incident] += 1

    def incidents(self) -> dict[str, int]:
        """Return how many deliveries were held back, and how many came a second time."""
        with self._counting:
            return {name: self._incidents[name] for name in ("held_back", "repeated")}

    def deliver_by_hand(self, event_id: str, wanted: Mapping[str, Any]) -> list[dict[str, str]]:
        """Send an event now, as often and as wrongly as asked; return the answers."""
        kind = wanted.get("signature", "good")
        offset = wanted.get("timestamp_offset", 0)
        chosen = wanted.get("endpoint")
        answers = []
        for endpoint in [chosen] if chosen else sorted(self.outbox.enabled_ids()):
            found = self._found(event_id, endpoint)
            if found is None:
                raise ValueError(f"no event {event_id} or no endpoint {endpoint}")
            sender = Sender()
            for _ in range(wanted.get("times", 1)):
                answer = self._send(sender, *found, kind, offset)
                answers.append({"endpoint": endpoint, "answer": answer})
                if kind == "good" and delivered(answer):
                    self._mark_delivered(event_id, endpoint, answer)
            sender.close()
        return answers

    def _found(self, event_id: str, endpoint_id: str) -> tuple[Family, Record, bytes] | None:
        with self.store.reading():
            for family in FAMILIES:
                endpoint = self.store.find(family.endpoint, endpoint_id)
                event = self.store.find(family.event, event_id)
                if endpoint is not None and event is not None:
                    return family, endpoint, family.render(self._account.call(), event)
        return None

    def _send(
        self,
        sender: Sender,
        family: Family,
        endpoint: Record,
        content: bytes,
        kind: str,
        offset: int,
    ) -> str:
        timestamp = real_now() + offset
        body, headers = family.sign(endpoint, content, timestamp, kind)
        timeout = self.conditions.timeout_ms / 1000
        return sender.post(endpoint["url"], body, headers, timeout)

    def _mark_delivered(self, event_id: str, endpoint_id: str, answer: str) -> None:
        with self.store.transaction():
            self.store.rows(
                "UPDATE deliveries SET state = 'delivered', attempts = attempts + 1,"
                " last_answer = ? WHERE event = ? AND endpoint = ?",
                (answer, event_id, endpoint_id),
            )

    def close(self) -> None:
        """Stop the senders; what they had not delivered stays due."""
        for sender in self._senders.values():
            sender.stop()
        for sender in self._senders.values():
            sender.join(timeout=5)
        self._senders.clear()
