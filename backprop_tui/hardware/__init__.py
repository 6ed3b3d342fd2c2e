"""What the machine is and how it feels. Every value may be None, which means unknown."""
