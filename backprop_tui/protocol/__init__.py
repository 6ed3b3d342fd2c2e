"""The words both sides of the pipe speak. No I/O, and nothing heavier than the standard library except `spec`."""
