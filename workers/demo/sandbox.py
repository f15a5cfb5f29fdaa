"""The sandbox as the demo drives it: faults, webhooks, and money that moves without the engine."""

from collections.abc import Mapping
from typing import Any, Final

from billing.config import BraintreeSettings, StripeSettings
from billing.errors import Unavailable
from billing.workers.up.sandbox import SandboxClient

PAYING_TRIES: Final = 50
_MERCHANT: Final = BraintreeSettings.SANDBOX


class SandboxControl(SandboxClient):
    """The sandbox's control pages, and calls of its API that a customer makes there.

    Raises `Unavailable` when the sandbox does not answer.
    """

    # --- faults, settings, figures --------------------------------------------------------------

    def fault(self, **spec: Any) -> None:
        """Order a fault; docs/sandbox.md lists the kinds."""
        self._call("POST", "faults", spec)

    def clear_faults(self) -> None:
        """Remove every ordered fault."""
        self._call("DELETE", "faults")

    def fired(self) -> Mapping[str, int]:
        """Return how often each kind of fault fired."""
        fired: Mapping[str, int] = self._call("GET", "faults")["fired"]
        return fired

    def settings(self, **wanted: Any) -> None:
        """Change how the provider settles and what its refunds do."""
        self._call("POST", "settings", wanted)

    def stats(self) -> Mapping[str, Any]:
        """Return what the sandbox counted: captures, requests, faults that fired."""
        stats: Mapping[str, Any] = self._call("GET", "stats")
        return stats

    def braintree_settings(self, **wanted: Any) -> None:
        """Change how the Braintree side settles and tells."""
        self._call("POST", "braintree/settings", wanted)

    def braintree(self, page: str) -> Mapping[str, Any]:
        """Return a page about the Braintree side."""
        shown: Mapping[str, Any] = self._call("GET", f"braintree/{page}")
        return shown

    # --- webhooks -------------------------------------------------------------------------------

    def delivery_conditions(self, **wanted: Any) -> None:
        """Say how webhooks travel: loss, duplication, reordering."""
        self._call("POST", "webhooks/conditions", wanted)

    def webhooks(self) -> Mapping[str, Any]:
        """Return the deliveries by state, and how many were held back and repeated."""
        shown: Mapping[str, Any] = self._call("GET", "webhooks")
        return shown

    # --- money that moves without the engine ----------------------------------------------------

    def take_money(self, amount: int, currency: str) -> Mapping[str, Any]:
        """Make a paid PaymentIntent without the engine, and return it."""
        wanted = {"amount": amount, "currency": currency.lower()}
        made: Mapping[str, Any] = self._call("POST", "payment_intents", wanted)
        return made

    def open_dispute(self, payment_intent: str, *, inquiry: bool = False) -> str:
        """Open a dispute or an inquiry of the cardholder's bank; return its id."""
        wanted = {"payment_intent": payment_intent, "inquiry": inquiry}
        return str(self._call("POST", "disputes", wanted)["id"])

    def decide_dispute(self, dispute: str, outcome: str) -> None:
        """Close a dispute: `won`, `lost`, or `warning_closed` for an inquiry."""
        self._call("POST", f"disputes/{dispute}", {"outcome": outcome})

    def charge_back(self, transaction: str) -> str:
        """Open a chargeback of a settled transaction; return its id."""
        wanted = {"merchant": _MERCHANT["merchant_id"], "transaction": transaction}
        return str(self._call("POST", "braintree/disputes", wanted)["id"])

    def decide_chargeback(self, dispute: str, outcome: str) -> None:
        """Close a chargeback: `won` or `lost`."""
        wanted = {"merchant": _MERCHANT["merchant_id"], "status": outcome}
        self._call("POST", f"braintree/disputes/{dispute}", wanted)

    def pay(self, payment_intent: str, customer: str, card: str = "pm_card_visa") -> None:
        """Pay a PaymentIntent at the provider as its customer, without the engine.

        Repeats the request until it succeeds, as faults may be ordered.
        """
        attached = self._api("POST", f"payment_methods/{card}/attach", {"customer": customer})
        paying = {"payment_method": str(attached["id"]), "off_session": "true"}
        for _ in range(PAYING_TRIES):
            if self._api("GET", f"payment_intents/{payment_intent}")["status"] == "succeeded":
                return
            try:
                self._api("POST", f"payment_intents/{payment_intent}/confirm", paying)
            except Unavailable:
                continue
        raise Unavailable(f"{payment_intent} can't be paid at the sandbox", where=self.url)

    def _api(self, method: str, path: str, form: Mapping[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {StripeSettings.SANDBOX['api_key']}"}
        return self._ask(method, f"v1/{path}", data=form, headers=headers)
