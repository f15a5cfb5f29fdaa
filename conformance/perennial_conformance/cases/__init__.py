"""The cases: one JSON file a kind."""
