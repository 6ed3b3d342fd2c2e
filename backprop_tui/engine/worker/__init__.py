"""One attempt at training, in a process of its own: the only place that imports torch."""
