"""Counters of the console. Labels are route templates and statuses, never a request's content."""

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST"})
Login = Literal["opened", "refused", "limited"]


class ConsoleMetrics:
    """Counters of one console process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "billing_console_requests_total",
            "Requests of the console answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "billing_console_request_duration_seconds",
            "Requests of the console.",
            ["method", "route"],
            registry=registry,
        )
        self._logins = Counter(
            "billing_console_logins_total",
            "Keys that were presented to log in: opened, refused or limited.",
            ["result"],
            registry=registry,
        )
        for result in ("opened", "refused", "limited"):
            self._logins.labels(result)

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request; one without a route is counted under the route `none`."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route or "none", str(status)).inc()
        self._seconds.labels(method, route or "none").observe(seconds)

    def login(self, result: Login) -> None:
        """Count a key that was presented."""
        self._logins.labels(result).inc()
