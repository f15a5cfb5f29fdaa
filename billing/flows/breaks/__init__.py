"""Breaks: what people do about them, exchanges that explain them, objects that can't be read."""

__all__ = ["exchanges", "operator", "unreadable"]
