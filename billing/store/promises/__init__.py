"""Queries that look for rows that break a promise, for `billing prove`."""
