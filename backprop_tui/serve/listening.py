"""The address a server listens on: its socket and its certificate."""

from __future__ import annotations

import socket
import ssl

from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.text import safe_text
from backprop_tui.serve.options import Options


def bound(options: Options) -> socket.socket:
    """A socket bound to the address that was asked for.

    Raises:
        UnavailableError: SERVE_PORT_TAKEN.
    """
    host = options.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as failure:
        raise _cannot_listen(host, options.port, failure) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as failure:
        listening.close()
        raise _cannot_listen(host, options.port, failure) from None
    return listening


def tls_context(options: Options) -> ssl.SSLContext | None:
    """What speaks TLS with the certificate that was given; None without one.

    Raises:
        UnavailableError: SERVE_CERTIFICATE_UNUSABLE.
    """
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except (OSError, ssl.SSLError) as failure:
        raise UnavailableError(
            "SERVE_CERTIFICATE_UNUSABLE", f"The certificate can't be used: {safe_text(failure, limit=200)}.",
            "Give PEM files of a certificate and its key, readable by you.",
        ) from None  # fmt: skip
    return context


def _cannot_listen(host: str, port: int, failure: OSError) -> UnavailableError:
    return UnavailableError(
        "SERVE_PORT_TAKEN", f"{safe_text(host, limit=80)} port {port} can't be listened on: {failure.strerror}.",
        "Give another --port, or 0 for any that is free.",
    )  # fmt: skip
