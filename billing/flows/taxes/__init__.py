"""Taxes that a provider computes: asking for them, and telling it what was sold and given back."""

__all__ = ["asking", "retrying", "sending"]
