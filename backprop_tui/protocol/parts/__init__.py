"""The parts of a `RunSpec`, one file each; `protocol.spec` puts them together."""
