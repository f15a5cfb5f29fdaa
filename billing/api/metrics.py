"""Counters of HTTP and gRPC. Labels are route templates and statuses, never a request's content."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REPEATED: Final = {"idempotency_key_reused": "reused", "request_in_flight": "in_flight"}


class ApiMetrics:
    """Counters of one API process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._http = Counter(
            "billing_api_requests_total",
            "HTTP requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._http_seconds = Histogram(
            "billing_api_request_duration_seconds",
            "HTTP requests.",
            ["method", "route"],
            registry=registry,
        )
        self._rpc = Counter(
            "billing_api_calls_total",
            "gRPC calls answered.",
            ["call", "code"],
            registry=registry,
        )
        self._rpc_seconds = Histogram(
            "billing_api_call_duration_seconds", "gRPC calls.", ["call"], registry=registry
        )
        self._repeated = Counter(
            "billing_api_idempotency_total",
            "Requests whose idempotency key was known: replayed, reused or in flight.",
            ["result"],
            registry=registry,
        )
        for result in ("replayed", "reused", "in_flight"):
            self._repeated.labels(result)

    def http(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request; one without a route is counted under the route `none`."""
        method = method if method in METHODS else "other"
        self._http.labels(method, route or "none", str(status)).inc()
        self._http_seconds.labels(method, route or "none").observe(seconds)

    def rpc(self, call: str, code: str, seconds: float) -> None:
        """Count a gRPC call."""
        self._rpc.labels(call, code).inc()
        self._rpc_seconds.labels(call).observe(seconds)

    def replayed(self) -> None:
        """Count a repeated answer."""
        self._repeated.labels("replayed").inc()

    def refused(self, code: str) -> None:
        """Count a refusal, if its reason is an idempotency key."""
        result = _REPEATED.get(code)
        if result is not None:
            self._repeated.labels(result).inc()
