"""What a widget may ask of the app it runs in without importing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_tui.app.glyphs import UNICODE, Glyphs

if TYPE_CHECKING:
    from textual.widget import Widget


def glyphs_of(widget: Widget) -> Glyphs:
    """The app's signs; Unicode in an app that is not ours (a test's bare one)."""
    glyphs = getattr(widget.app, "glyphs", None)
    return glyphs if isinstance(glyphs, Glyphs) else UNICODE
