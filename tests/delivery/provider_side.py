"""The provider as its dashboard shows it, and what is done there without the engine."""

import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import requests

from billing.errors import Unavailable
from tests.waiting import PATIENCE

Json = dict[str, Any]
TIMEOUT_SECONDS: Final = 5.0


class ProviderSide:
    """Repeats every request until the provider answers it. For one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False  # each request would look through the environment for proxies
        self._http.headers["Authorization"] = "Bearer sk_test_dashboard"

    # --- what it shows --------------------------------------------------------------------------

    def all(self, what: str, **narrowed: str) -> list[Json]:
        """Return a complete list: "charges", "refunds", "events", newest first."""
        found: list[Json] = []
        page: Json = {"has_more": True}
        while page["has_more"]:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = self.show(what, limit="100", **narrowed, **after)
            found += page["data"]
        return found

    def show(self, what: str, **params: str) -> Json:
        """Return an object or one page of a list."""
        answer = self._answered("GET", f"v1/{what}", params=params)
        assert answer.status_code == 200, answer.text
        return _json(answer)

    def controlled(self, page: str) -> Json:
        """Return what a page of the sandbox's own says."""
        answer = self._answered("GET", f"_sandbox/{page}")
        assert answer.status_code == 200, answer.text
        return _json(answer)

    # --- what is done there ---------------------------------------------------------------------

    def control(self, page: str, **wanted: Any) -> Json | None:
        """Let something happen; None when the state of things forbids it.

        Repeated after a lost answer, it may find that it happened already.
        """
        answer = self._answered("POST", f"_sandbox/{page}", json=wanted)
        return _json(answer) if answer.status_code == 200 else None

    def make(self, what: str, **form: str) -> Json | None:
        """Make something by hand, at most once; None when it isn't sure that it was made."""
        key = {"Idempotency-Key": f"by-hand-{uuid4()}"}
        answer = self._answered("POST", f"v1/{what}", data=form, headers=key)
        return _json(answer) if answer.status_code == 200 else None

    def _answered(self, method: str, path: str, **how: Any) -> requests.Response:
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._tried(method, path, how)
            if answer is not None:
                return answer
            if time.monotonic() > deadline:
                raise Unavailable(f"the provider does not answer {method} {path}")
            time.sleep(0.05)

    def _tried(self, method: str, path: str, how: Mapping[str, Any]) -> requests.Response | None:
        """Ask once; None for what says nothing yet: no answer, half of one, a limit."""
        try:
            answer = self._http.request(
                method, f"{self._url}/{path}", timeout=TIMEOUT_SECONDS, **how
            )
            answer.json()
        except (requests.RequestException, ValueError):
            return None
        # A 500 is replayed under its key for ever.
        final = 500 if method == "POST" else None
        unsaid = answer.status_code in (409, 429) or answer.status_code >= 500
        return answer if answer.status_code == final or not unsaid else None


def _json(answer: requests.Response) -> Json:
    found: Json = answer.json()
    return found
