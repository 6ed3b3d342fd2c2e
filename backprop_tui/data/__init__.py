"""From any file to trusted training rows, without torch."""
