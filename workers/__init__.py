"""The processes that run the engine, and what starts, watches and stops them."""
