"""What `backprop serve` was asked for, checked before anything listens."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.serve.password import Password

#: Names of this machine's own loopback, as browsers write them.
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """How the app is served.

    Attributes:
        host, port: where to listen; port 0 takes any that is free.
        control: whether viewers may steer runs and launch new ones; otherwise they watch.
        run: the run to open, a full id; None opens the newest.
        idle_s: seconds without a key after which somebody is logged out.
        viewers: apps shown at once, over everybody.
        allowed_hosts: further names, `name` or `name:port`, under which browsers may ask for us.
        password: what a browser without the link must know; None allows the link only.
        certificate, key: PEM files; with them the connection is encrypted.
    """

    host: str = "127.0.0.1"
    port: int = 8417
    control: bool = False
    run: str | None = None
    idle_s: float = 1800.0
    viewers: int = 4
    allowed_hosts: tuple[str, ...] = ()
    password: Password | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def scheme(self) -> str:
        """What an address begins with: `https` with a certificate, else `http`."""
        return "https" if self.certificate else "http"

    def hosts(self, port: int) -> frozenset[str]:
        """Every `Host` a browser may send, lower case, once the port is known."""
        names = list(_LOOPBACK_NAMES) if self.loopback else [] if _is_any(self.host) else [_bracketed(self.host)]
        found = {f"{name}:{port}" for name in names}
        if port == (443 if self.certificate else 80):
            found.update(names)
        for name in self.allowed_hosts:
            found.add(name.lower())
            if not re.search(r":\d+$", name):
                found.add(f"{name.lower()}:{port}")
        return frozenset(host.lower() for host in found)

    def url(self, port: int) -> str:
        """Where a browser finds us, without a path."""
        name = self.allowed_hosts[0] if _is_any(self.host) else _bracketed(self.host)
        return f"{self.scheme}://{name if re.search(r':[0-9]+$', name) and name[-1] != ']' else f'{name}:{port}'}"


def check(options: Options) -> None:
    """Refuse what would be unsafe or can't work.

    Raises:
        UsageError: SERVE_HOST_INVALID; SERVE_HOST_OPEN, another machine could connect without a password;
            SERVE_HOST_NAMELESS; SERVE_LIMIT_INVALID; SERVE_CERTIFICATE_INCOMPLETE.
    """
    for name in (options.host, *options.allowed_hosts):
        if not _HOST.fullmatch(_bracketed(name)):
            raise UsageError(
                "SERVE_HOST_INVALID", f"{safe_text(name, limit=80)!r} is no host.", "Give NAME or NAME:PORT."
            )
    if not options.loopback and options.password is None:
        raise UsageError(
            "SERVE_HOST_OPEN",
            f"On {safe_text(options.host, limit=80)} other machines could connect, and there is no password.",
            "Add --password, or stay on 127.0.0.1 and use `ssh -L 8417:127.0.0.1:8417`.",
        )
    if _is_any(options.host) and not options.allowed_hosts:
        raise UsageError(
            "SERVE_HOST_NAMELESS",
            f"{safe_text(options.host, limit=80)} is every address of this machine.",
            "Say by which name browsers ask for it: --allow-host NAME.",
        )
    if not 0 <= options.port <= 65535 or not 1 <= options.viewers <= 64 or not options.idle_s > 0:
        raise UsageError(
            "SERVE_LIMIT_INVALID",
            "The port is 0 to 65535, viewers are 1 to 64, and the idle time is above zero.",
            "`backprop serve --help` shows the usual values.",
        )
    if (options.certificate is None) != (options.key is None):
        raise UsageError(
            "SERVE_CERTIFICATE_INCOMPLETE", "A certificate comes with its key.", "Give --certificate and --key."
        )


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine. Other names are never looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
