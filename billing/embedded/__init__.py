"""PostgreSQL and Valkey as child processes of ours, on loopback."""

__all__ = ["orphans", "servers"]
