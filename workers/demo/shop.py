"""Another program that asks for refunds and credit notes over HTTP."""

import time
from typing import Any, Final
from uuid import UUID

import requests

from billing.errors import Unavailable
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit_notes import Destination
from billing.workers.runtime.peppers import pepper
from billing.workers.runtime.runtime import Runtime

API_TIMEOUT_SECONDS: Final = 15.0
API_TRIES: Final = 50
API_PAUSE_SECONDS: Final = 0.1


class Shop:
    """Another program that gives money back over HTTP, with an API key of its own.

    It asks under a key until there is an answer, and then once more, as a program does that lost
    the answer. Its methods raise `Unavailable`.
    """

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self._url = f"http://{settings.api.host}:{settings.api.port}"
        _, key = api_keys.create(
            runtime.engine,
            name="demo-shop",
            scopes=[Scope.REFUND],
            pepper=pepper(settings),
            wall=runtime.clock.wall(),
            actor=Actor(ActorKind.DEMO),
        )
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def refund(self, payment_id: UUID, amount: int | None, key: str) -> UUID:
        """Refund a payment or a part of it, in minor units; return the refund's id."""
        wanted: dict[str, Any] = {"reason": "the customer asked"}
        if amount is not None:
            wanted["amount"] = amount
        return UUID(self._ask(f"/v1/payments/{payment_id}/refunds", wanted, key)["id"])

    def credit_note(self, invoice: str, share: int, destination: Destination, key: str) -> UUID:
        """Give back one part in `share` of an invoice; return the credit note's id."""
        wanted = {
            "destination": str(destination),
            "share": {"part": 1, "whole": share},
            "reason": "the customer asked",
        }
        return UUID(self._ask(f"/v1/invoices/{invoice}/credit-notes", wanted, key)["id"])

    def _ask(self, path: str, wanted: dict[str, Any], key: str) -> dict[str, Any]:
        made = self._ask_until_answered(path, wanted, key)
        again = self._ask_until_answered(path, wanted, key)
        assert again["id"] == made["id"], "what one key asks for is made once"
        return made

    def _ask_until_answered(self, path: str, wanted: dict[str, Any], key: str) -> dict[str, Any]:
        said = ""
        for _ in range(API_TRIES):
            try:
                answer = self._session.post(
                    f"{self._url}{path}",
                    json=wanted,
                    headers={"Idempotency-Key": key},
                    timeout=API_TIMEOUT_SECONDS,
                )
            except requests.RequestException as error:
                said = str(error)
            else:
                if answer.status_code in (201, 202):  # 202: its outcome is not known yet
                    made: dict[str, Any] = answer.json()
                    return made
                said = f"{answer.status_code} {answer.text}"
            time.sleep(API_PAUSE_SECONDS)
        raise Unavailable(f"no answer to {key}: {said}", where=f"{self._url}{path}")
