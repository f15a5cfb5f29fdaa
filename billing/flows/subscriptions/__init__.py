"""Subscriptions: started, canceled, paused, resumed, released; and their catalog."""

__all__ = ["catalog", "lifecycle", "naming", "reanchoring", "releasing", "retrying", "subscribing"]
