"""What a person pays for a run, read from their settings without pydantic: the panel and `watch` must stay quick to start."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any

from backprop_tui.config import paths
from backprop_tui.protocol.figures import Prices
from backprop_tui.protocol.text import safe_text

_MOST = 1e6


def read_prices(environ: Mapping[str, str] = os.environ) -> Prices:
    """The prices in force: `BACKPROP_PRICE_PER_KWH` over `settings.toml`. What is no price is none.

    A broken file is left to `backprop config` to complain about.
    """
    try:
        words = tomllib.loads((paths.config_dir() / "settings.toml").read_text("utf-8"))
    except (OSError, ValueError):
        words = {}

    def said(key: str) -> Any:
        return environ.get(f"BACKPROP_{key.upper()}") or words.get(key)

    currency = said("currency")
    return Prices(
        _price(said("price_per_kwh")),
        _price(said("price_per_gpu_hour")),
        safe_text(currency, limit=8) if isinstance(currency, str) else "",
    )


def _price(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        price = float(value)
    except (TypeError, ValueError):
        return None
    return price if 0 < price <= _MOST else None
