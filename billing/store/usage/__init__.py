"""Usage: what was counted, as it is written and read, and what of it was billed."""

__all__ = ["adding", "alerts", "closings", "days", "sealing"]
