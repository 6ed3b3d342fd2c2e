"""Readers of files. A new one is a module with EXTENSIONS and read, and one entry in `sources.READERS`."""
