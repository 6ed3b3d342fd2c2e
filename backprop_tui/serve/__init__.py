"""The app in a browser, if asked: `backprop serve`. Only here are aiohttp and textual-serve imported (extra `[serve]`).

Whoever reaches a served app acts as the person who started it, so nothing is trusted: who may come is checked by `access`
and `gate`, what they may do is decided by the environment of the child (`viewer`), and the child is our app in a process of
its own (`child`), started without a shell and without anybody's tokens.
"""
