"""Another engine on the same account of the provider: what it makes there, and the rest without it.

It charges and gives back with its own id in the metadata. None of that is ours, and nothing of it
may reach our books but payouts, which hold the money of both.
"""

from collections import Counter
from functools import cached_property
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from tests.simulation.events import Event
from tests.simulation.wires import Json, Provider

ENGINE: Final = str(uuid5(NAMESPACE_OID, "another engine"))
_OF_INTENT: Final = frozenset({"charges", "refunds", "disputes"})


def charge(provider: Provider, event: Event, number: int) -> None:
    """Let another engine charge, and give some of it back. Raises: Refused."""
    payment = str(uuid5(NAMESPACE_OID, f"another engine's payment {number}"))
    provider.control(
        "payment_intents",
        amount=event.amount,
        currency="usd",
        metadata={"engine": ENGINE, "payment": payment, "attempt": "1"},
    )
    if event.moves:
        newest = provider.show("charges", "limit=1")["data"][0]
        provider.act("refunds", charge=newest["id"])


class OwnSide:
    """What there is at the provider, without what another engine made."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def all(self, what: str) -> list[Json]:
        """Return a complete list, oldest first."""
        found = self._provider.all(what)
        if what == "payouts":
            return found
        return [each for each in found if not self._is_other(what, each)]

    def show(self, what: str) -> Json:
        """Return an object; a balance is without what the other engine moved there."""
        found = self._provider.show(what)
        if what == "balance":
            found["pending"] = [*found["pending"], *self._moved]
        return found

    def _is_other(self, what: str, each: Json) -> bool:
        if what == "payment_intents":
            return each["id"] in self._intents
        if what in _OF_INTENT:
            return each["payment_intent"] in self._intents
        if what == "balance_transactions":
            return each["source"] in self._sources
        if what == "events":
            return self._is_of(each["data"]["object"])
        raise ValueError(what)

    def _is_of(self, thing: Json) -> bool:
        return bool({thing.get("id"), thing.get("payment_intent")} & self._intents)

    @cached_property
    def _intents(self) -> frozenset[str]:
        return frozenset(
            each["id"]
            for each in self._provider.all("payment_intents")
            if each["metadata"].get("engine") == ENGINE
        )

    @cached_property
    def _sources(self) -> frozenset[str]:
        return frozenset(
            each["id"]
            for what in sorted(_OF_INTENT)
            for each in self._provider.all(what)
            if each["payment_intent"] in self._intents
        )

    @cached_property
    def _moved(self) -> list[Json]:
        net: Counter[str] = Counter()
        for each in self._provider.all("balance_transactions"):
            if each["source"] in self._sources:
                net[each["currency"]] -= each["net"]
        return [{"currency": currency, "amount": amount} for currency, amount in net.items()]
