"""Reward functions: those that come along, and the process in which a person's own ones run."""
