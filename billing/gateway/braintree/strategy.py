"""Our transport as the SDK's HTTP strategy, and the addresses it goes to."""

import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Never, cast
from urllib.parse import urlsplit

import braintree

from billing.errors import BadInput
from billing.gateway.transport import Deadline, Transport

_PORTS: Final = {"http": "80", "https": "443"}


class Elsewhere(braintree.Environment):  # type: ignore[misc]  # the SDK has no types
    """An environment at an address of its own, which also answers reports."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise BadInput(
                f"{address[:80]!r} is no address of a server",
                where="api_base",
                remedy="write it like http://127.0.0.1:8080",
            )
        port = str(parts.port or _PORTS[parts.scheme])
        host, tls = parts.hostname, parts.scheme == "https"
        super().__init__("elsewhere", host, port, address, tls, None, host, port)
        self._scheme = f"{parts.scheme}://"

    @property
    def protocol(self) -> str:
        """The beginning of its URLs; the SDK goes by the port."""
        return self._scheme


def environment_at(name: str, api_base: str | None) -> Any:
    """Return the SDK's environment: Braintree's of that name, or the one at an address."""
    if api_base:
        return Elsewhere(api_base)
    known = {
        "sandbox": braintree.Environment.Sandbox,
        "production": braintree.Environment.Production,
    }
    if name not in known:
        raise BadInput(
            f"Braintree has no environment {name[:40]!r}",
            where="environment",
            remedy="set it to sandbox or production",
        )
    return known[name]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The time-outs of each connection, in seconds."""

    connect: float
    read: float


# What is posted and changes nothing: searches, and questions in GraphQL.
_READS: Final = ("/advanced_search", "/advanced_search_ids", "/graphql")


class Strategy:
    """The SDK's HTTP strategy over our transport; each thread sets the deadline of its next
    request.
    """

    def __init__(self, environment: Any, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        api = f"{environment.protocol}{environment.server_and_port}"
        graphql = f"{environment.protocol}{environment.graphql_server_and_port}"
        certificates = environment.ssl_certificate
        self._transports = {
            base: self._transport(base, certificates) for base in dict.fromkeys((api, graphql))
        }
        self._local = threading.local()

    @property
    def status(self) -> int | None:
        """The status of this thread's last answer; None while none arrived."""
        return cast("int | None", self._local.status)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of this thread's last answer."""
        return cast(Mapping[str, str], self._local.headers)

    @property
    def answered_at(self) -> datetime | None:
        """The provider's own time of this thread's last answer, to the second."""
        written = self.headers.get("date")
        try:
            return None if written is None else parsedate_to_datetime(written)
        except ValueError:
            return None

    def begin(self, deadline: Deadline) -> None:
        """Set the deadline of this thread's next request."""
        self._local.deadline = deadline
        self._local.status = None
        self._local.headers = {}

    def http_do(
        self, verb: str, url: str, headers: Mapping[str, str | bytes], body: str | bytes
    ) -> tuple[int, str]:
        """Send the SDK's request once. Raises: TransportError."""
        parts = urlsplit(url)
        transport = self._transports[f"{parts.scheme}://{parts.netloc}"]
        plain = {name: _text(value) for name, value in headers.items()}
        return self._send(transport, verb, url, plain, body or None)

    def download(self, url: str) -> str:
        """Return the file at an address that needs no key. Raises: TransportError, ValueError."""
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        known = self._transports.get(base)
        if known is not None:
            status, text = self._send(known, "GET", url, {}, None)
        else:
            with closing(self._transport(base, None)) as transport:
                status, text = self._send(transport, "GET", url, {}, None)
        if status != 200:
            raise ValueError(f"HTTP {status}")
        return text

    def _transport(self, base: str, certificates: str | None) -> Transport:
        return Transport(
            base,
            connect_timeout=self._timeouts.connect,
            read_timeout=self._timeouts.read,
            ca_certs=certificates,
        )

    def _send(
        self,
        transport: Transport,
        verb: str,
        url: str,
        headers: Mapping[str, str],
        body: str | bytes | None,
    ) -> tuple[int, str]:
        content, status, answered = transport.send(
            verb,
            url,
            headers,
            body,
            self._local.deadline,
            reads=urlsplit(url).path.endswith(_READS),
        )
        self._local.status, self._local.headers = status, answered
        return status, content.decode()

    def handle_exception(self, error: Exception) -> Never:
        """Raise an error as it came."""
        raise error

    def close(self) -> None:
        """Close the idle connections."""
        for transport in self._transports.values():
            transport.close()


def _text(value: str | bytes) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value
