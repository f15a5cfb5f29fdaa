"""A client of the sandbox's control pages: its clock, where it delivers, events on demand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from billing.config import BraintreeSettings
from billing.errors import BadInput, Unavailable
from billing.rules.texts import nearest
from billing.workers.runtime.runtime import Runtime, access

TIMEOUT_SECONDS: Final = 10.0
_MERCHANT: Final = BraintreeSettings.SANDBOX


class SandboxClient:
    """A client of `/_sandbox`; raises `Unavailable` when the sandbox does not answer."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()

    def set_clock(self, now: datetime) -> None:
        """Pin the sandbox's clock; what it makes from now on is dated so."""
        self._call("POST", "clock", {"now": int(now.timestamp())})

    def is_ours(self) -> bool:
        """Tell whether a sandbox of ours is there: another server doesn't know its pages.

        Raises `Unavailable` when nobody answers.
        """
        try:
            answer = self._session.get(f"{self.url}/_sandbox/stats", timeout=self._timeout)
            return answer.status_code == 200 and isinstance(answer.json().get("requests"), dict)
        except requests.exceptions.JSONDecodeError:
            return False
        except requests.RequestException as error:
            raise self._unavailable(error) from error

    def deliver_to(self, url: str, secret: str, types: Sequence[str] | None = None) -> None:
        """Post events to `url`, signed with this secret; without types those it had, or all."""
        wanted = {"url": url, "secrets": [secret]}
        self._call(
            "POST", "webhooks", wanted if types is None else {**wanted, "enabled_events": [*types]}
        )

    def keep_delivering_to(self, url: str, secret: str) -> None:
        """Post events to `url`, signed with this secret, and no more to where it was before.

        Its path and secret tell an endpoint: the port may be another one after each start.
        """
        for endpoint in self._call("GET", "webhooks")["endpoints"]:
            same_path = urlsplit(endpoint["url"]).path == urlsplit(url).path
            if same_path and secret in endpoint["secrets"]:
                self._call("POST", f"webhooks/{endpoint['id']}", {"url": url})
                return
        self.deliver_to(url, secret)

    def deliver_notifications_to(self, url: str, kinds: Sequence[str] = ("*",)) -> None:
        """Post the Braintree account's notifications to `url`, signed with its own keys."""
        keys = {name: _MERCHANT[name] for name in ("public_key", "private_key")}
        wanted = {"merchant": _MERCHANT["merchant_id"], "url": url, "kinds": [*kinds], **keys}
        self._call("POST", "braintree/webhooks", wanted)

    def keep_notifying(self, url: str) -> None:
        """Post the Braintree account's notifications to `url`, and no more to where it was before.

        Its path tells an endpoint: the port may be another one after each start. They are dated by
        real time, as what receives them compares: the sandbox's clock may be far ahead.
        """
        merchant = {"merchant": _MERCHANT["merchant_id"]}
        self._call("POST", "braintree/settings", {**merchant, "real_timestamps": True})
        for endpoint in self._call("GET", "braintree/webhooks")["endpoints"]:
            same_path = urlsplit(endpoint["url"]).path == urlsplit(url).path
            if same_path and endpoint["merchant"] == merchant["merchant"]:
                page = f"braintree/webhooks/{endpoint['id']}"
                self._call("POST", page, {**merchant, "url": url})
                return
        self.deliver_notifications_to(url)

    def delivers(self) -> bool:
        """Tell whether events are sent to any endpoint."""
        shown: list[Mapping[str, Any]] = self._call("GET", "webhooks")["endpoints"]
        return any(not endpoint["disabled"] for endpoint in shown)

    def trigger(self, event_type: str, object_id: str | None = None) -> list[Mapping[str, Any]]:
        """Have the change made that brings about an event; return all events that came of it.

        With `object_id` of that object, else of new ones. Raises `BadInput` for a type that the
        sandbox doesn't make, or an object that it can't make one of.
        """
        known: list[str] = self._call("GET", "triggers")["types"]
        if event_type not in known:
            raise BadInput(
                f"the sandbox makes no event of type {event_type!r}."
                f"{nearest(event_type, known)} It makes {', '.join(known)}",
                where="TYPE",
            )
        wanted = {"type": event_type} | ({} if object_id is None else {"object": object_id})
        made: list[Mapping[str, Any]] = self._call("POST", "triggers", wanted)["events"]
        return made

    def _call(self, method: str, page: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask(method, f"_sandbox/{page}", json=body)

    def _ask(self, method: str, path: str, **sent: Any) -> Any:
        try:
            answer = self._session.request(
                method, f"{self.url}/{path}", timeout=self._timeout, **sent
            )
            if path.startswith("_sandbox/") and answer.status_code == 400:
                raise BadInput(f"the sandbox refuses: {answer.json()['error']['message']}")
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"the sandbox does not answer: {error}",
            where=self.url,
            remedy="start it with `billing up`",
        )


def sandbox_of(runtime: Runtime, account: str) -> SandboxClient | None:
    """Return the controls of the sandbox that an account is at, or None where it is at none.

    A server that `api_base` names and that doesn't know our control pages is somebody else's.
    Raises `Unavailable`.
    """
    settings = runtime.settings
    if settings.mode != "sandbox":
        return None
    if settings.in_embedded_sandbox(account):
        return SandboxClient(access(settings, account)[1] or "")
    url = settings.providers[account].api_base
    control = SandboxClient(url) if url else None
    return control if control is not None and control.is_ours() else None
