"""Several runs merged into one adapter: the mathematics, the strategies, and the loop over the stages of a run."""
