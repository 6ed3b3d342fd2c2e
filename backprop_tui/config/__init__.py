"""What the person set up: paths, settings, presets."""
