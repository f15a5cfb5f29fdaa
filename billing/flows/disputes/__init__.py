"""Disputes, as the provider reports them."""

__all__ = ["dispute_updates"]
