"""The run directory, the truth: layout, journal, series, checkpoints, locks and process identity."""
