"""The gRPC health service: whether this process takes calls. It needs no API key.

It answers for known names alone and keeps nothing for a caller, so that callers without a
key can't fill the memory: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from grpc_health.v1 import health_pb2, health_pb2_grpc

from billing.api.problems import Refused

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
WATCHES_MAX: Final = 64
"""The number of watches at the same time; each holds a little memory for as long as it lasts."""


class HealthService(health_pb2_grpc.HealthServicer):
    """Answers for these names, which all have the same status; used in one event loop."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: Final = frozenset(names)
        self._status: int = NOT_SERVING
        self._changed = asyncio.Event()
        self._watches = 0

    def set(self, status: int) -> None:
        """Change the status, and tell those who watch."""
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802  gRPC's name
        self, request: health_pb2.HealthCheckRequest, _: object
    ) -> health_pb2.HealthCheckResponse:
        """Tell the status. Raises `Refused` for an unknown name."""
        if request.service not in self._names:
            raise Refused("not_found", "there is no service of this name")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, _: object
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tell the status now and whenever it changes; of an unknown name that it is unknown."""
        if request.service not in self._names:
            yield health_pb2.HealthCheckResponse(status=SERVICE_UNKNOWN)
            return
        if self._watches >= WATCHES_MAX:
            raise Refused("rate_limited", f"{WATCHES_MAX} callers watch already")
        self._watches += 1
        try:
            while True:
                changed = self._changed
                yield health_pb2.HealthCheckResponse(status=self._status)
                await changed.wait()
        finally:
            self._watches -= 1
