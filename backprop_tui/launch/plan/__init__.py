"""What a run will take before it starts: memory by part, steps, tokens, time, disk, cost, and whether to go. No torch."""
