"""Sentences from facts, the same for every reader: pure, each noun a file."""

__all__ = ["catalog", "explain", "text", "timeline"]
