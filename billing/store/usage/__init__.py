"""Usage: events and totals as they are written and read."""

__all__ = ["adding", "days", "sealing"]
