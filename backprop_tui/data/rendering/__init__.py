"""Rows as a model reads them: chat templates, where the answers stand, and what must not act. Runs in `data.children`."""
