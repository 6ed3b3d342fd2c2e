"""Widgets drawn by hand where bytes count."""
