"""The sandbox as the demo and `billing clock` drive it, over its control pages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import requests

from billing.errors import Unavailable


class SandboxControl:
    """A client of `/_sandbox`; raises `Unavailable` when nobody answers there."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()

    def set_clock(self, now: datetime) -> None:
        """Pin the sandbox's clock; what it makes from now on is dated so."""
        self._call("POST", "clock", {"now": int(now.timestamp())})

    def fault(self, **spec: Any) -> None:
        """Order a fault; docs/sandbox.md lists the kinds."""
        self._call("POST", "faults", spec)

    def clear_faults(self) -> None:
        """Take every ordered fault back."""
        self._call("DELETE", "faults")

    def stats(self) -> Mapping[str, Any]:
        """Return what the sandbox counted: captures, requests, faults that fired."""
        stats: Mapping[str, Any] = self._call("GET", "stats")
        return stats

    def _call(self, method: str, page: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._session.request(
                method, f"{self.url}/_sandbox/{page}", json=body, timeout=10
            )
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(
                f"the sandbox does not answer: {error}",
                where=self.url,
                remedy="start it with `billing up`",
            ) from error
