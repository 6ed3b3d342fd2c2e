"""The host supervises, the worker trains."""
