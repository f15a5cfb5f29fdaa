"""Refunds: requested, sent to the provider, and updated as the provider reports them."""

__all__ = ["refund_updates", "requesting", "sending"]
