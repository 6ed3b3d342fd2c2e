"""Tables of actions, one module per screen. Plain data: importing one costs nothing."""
