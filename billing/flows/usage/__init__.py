"""Usage: taking events in."""

__all__ = ["book", "days", "importing", "ingesting", "pruning"]
