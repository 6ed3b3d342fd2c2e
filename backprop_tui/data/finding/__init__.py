"""From a person's words to files: paths, folders, patterns, datasets of the hub."""
