"""Usage: taking events in."""

__all__ = ["book", "importing", "ingesting"]
