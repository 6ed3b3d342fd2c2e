"""Tools that choose, order and judge rows: pure functions over normalised rows, without a screen and without files."""
