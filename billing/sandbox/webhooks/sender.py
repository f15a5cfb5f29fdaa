"""Posting one event to one endpoint: a kept-alive connection, a deadline, no redirects."""

import contextlib
import http.client
import socket
from urllib.parse import urlsplit

from billing.sandbox.errors import refused

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_url(url: str) -> str:
    """Return the URL of an endpoint on this machine. Raises: ApiError for any other."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        raise refused(
            "Invalid URL: the sandbox posts to http://127.0.0.1 (or localhost) only.", param="url"
        )
    return url


class Sender:
    """Post to one URL after another; not safe to share between threads."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout: float) -> str:
        """Post and return the status, or in a word why there is none."""
        parts = urlsplit(url)
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        reused = self._reusable(parts.hostname, parts.port)
        answer = self._try(parts.netloc, path, body, headers, timeout)
        if answer == "closed" and reused:  # the other side had hung up in the meantime
            answer = self._try(parts.netloc, path, body, headers, timeout)
        return answer

    def _reusable(self, host: str | None, port: int | None) -> bool:
        kept = self._connection
        if kept is not None and (kept.host, kept.port) != (host, port or 80):
            self.close()
        return self._connection is not None

    def _try(
        self, netloc: str, path: str, body: bytes, headers: dict[str, str], timeout: float
    ) -> str:
        connection = self._connection or http.client.HTTPConnection(netloc)
        self._connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
        except TimeoutError:
            self.close()
            return "timeout"
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return "refused" if isinstance(error, ConnectionRefusedError) else "closed"
        if answer.will_close:
            self.close()
        return str(answer.status)

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Make a post in another thread give up waiting for its answer."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
