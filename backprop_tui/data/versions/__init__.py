"""What identifies data, what differs between two versions, and what a run notes of it."""
