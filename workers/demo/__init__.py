"""`billing demo`: months of billing on real processes, with faults, and a report that proves it."""

__all__ = ["run"]
