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
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"the sandbox does not answer: {error}",
            where=self.url,
            remedy="start it with `billing up`",
        )
