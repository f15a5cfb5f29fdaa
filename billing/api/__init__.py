"""Interfaces for other programs: HTTP with OpenAPI, and gRPC. Both translate for `flows.service`.

serving    both servers in one process, and how they end
middleware HTTP: what holds for every request, before any handler runs
app        HTTP: the application, put together from `routes`
rpc        gRPC: the service, its server, and what holds for every call
problems   every error that either interface tells, and how
security   API keys, scopes and rates, the same for both
"""

__all__ = ["serving"]
