"""Credit notes: what was invoiced and paid is given back, to credit, to the card or outside."""

__all__ = ["drafting", "issuing", "recomputing"]
