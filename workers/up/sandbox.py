"""A client of the sandbox's control pages: setting its clock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import requests

from billing.errors import Unavailable

TIMEOUT_SECONDS: Final = 10.0


class SandboxClient:
    """A client of `/_sandbox`; raises `Unavailable` when the sandbox does not answer."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()

    def set_clock(self, now: datetime) -> None:
        """Pin the sandbox's clock; what it makes from now on is dated so."""
        self._call("POST", "clock", {"now": int(now.timestamp())})

    def _call(self, method: str, page: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask(method, f"_sandbox/{page}", json=body)

    def _ask(self, method: str, path: str, **sent: Any) -> Any:
        try:
            answer = self._session.request(
                method, f"{self.url}/{path}", timeout=self._timeout, **sent
            )
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(
                f"the sandbox does not answer: {error}",
                where=self.url,
                remedy="start it with `billing up`",
            ) from error
