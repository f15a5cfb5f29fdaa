"""What people do about breaks: resolve, assign, and record exchanges."""

__all__ = ["exchanges", "operator"]
