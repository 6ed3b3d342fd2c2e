"""Child processes that read files in bulk and run chat templates: several cores, and limits that a loop can't escape."""
