"""Links, sessions, patience, hosts and the child's environment, with a clock of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from backprop_tui.protocol.errors import UnavailableError, UsageError
from backprop_tui.serve.access import Access
from backprop_tui.serve.listening import tls_context
from backprop_tui.serve.options import Options, check, is_loopback
from backprop_tui.serve.password import Password, Patience, obtain


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_link_opens_one_session() -> None:
    access = Access(60)
    token = access.link()
    session = access.redeem(token)
    assert session is not None
    assert access.knows(session)
    assert access.redeem(token) is None
    assert access.redeem("") is None
    assert not access.knows(token)


def test_a_session_ends_when_nobody_uses_it() -> None:
    clock = Clock()
    access = Access(60, clock)
    used, idle = access.open(), access.open()
    clock.now += 59
    access.use(used)
    clock.now += 1
    assert access.knows(used)
    assert not access.knows(idle)
    # Too late is too late.
    access.use(idle)
    assert not access.knows(idle)
    assert access.sweep() == 1
    access.end(used)
    assert not access.knows(used)
    assert access.sweep() == 0


def test_links_and_sessions_are_bounded() -> None:
    access = Access(60)
    first = access.link()
    for _ in range(50):
        access.link()
    assert access.redeem(first) is None
    opened = [access.open() for _ in range(100)]
    assert access.sweep() <= 32
    assert access.knows(opened[-1])
    assert not access.knows(opened[0])


def test_nothing_kept_opens_anything() -> None:
    access = Access(60)
    token, session = access.link(), access.open()
    kept = str(vars(access))
    assert token not in kept
    assert session not in kept
    password = Password("correct horse")
    assert "correct" not in str(vars(password))
    assert "correct" not in repr(password)
    assert password.matches("correct horse")
    assert not password.matches("correct horsf")
    assert not password.matches("x" * 10_000)


def test_a_guesser_waits_longer_each_time() -> None:
    clock = Clock()
    patience = Patience(clock)
    waits = []
    for _ in range(12):
        patience.failed("a")
        waits.append(patience.wait("a"))
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:7] == [5, 10, 20]
    assert max(waits) <= 600
    assert patience.wait("b") == 0
    clock.now += 601
    assert patience.wait("a") == 0
    patience.right("a")
    patience.failed("a")
    assert patience.wait("a") == 0
    for turn in range(5000):
        patience.failed(f"address {turn}")
    assert len(patience._wrong) <= 1000


def test_a_variable_is_taken_away() -> None:
    environ = {"BACKPROP_SERVE_PASSWORD": "correct horse"}
    password = obtain(None, False, environ)
    assert environ == {}
    assert password is not None
    assert password.matches("correct horse")
    assert obtain(None, False, {}) is None
    answers = iter(["correct horse", "correct house"])
    with pytest.raises(UsageError, match="PASSWORD_DIFFERENT"):
        obtain(None, True, {}, lambda _: next(answers))


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("LOCALHOST", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.evil.example", False), ("127.0.0.1.nip.io", False)],
)  # fmt: skip
def test_what_counts_as_this_machine(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def test_hosts_are_exact() -> None:
    assert Options().hosts(8417) == {"127.0.0.1:8417", "localhost:8417", "[::1]:8417"}
    assert "127.0.0.1" in Options().hosts(80)
    open_host = Options(host="0.0.0.0", allowed_hosts=("Box.Example", "box:9000"), password=Password("x" * 8))
    assert open_host.hosts(8417) == {"box.example", "box.example:8417", "box:9000"}
    assert Options(host="::1").url(5) == "http://[::1]:5"
    assert open_host.url(8417) == "http://Box.Example:8417"


@pytest.mark.parametrize(
    "options",
    [Options(viewers=0), Options(viewers=1000), Options(idle_s=0), Options(idle_s=float("nan")), Options(port=70000)],
)
def test_limits_that_make_no_sense_are_refused(options: Options) -> None:
    with pytest.raises(UsageError, match="SERVE_LIMIT_INVALID"):
        check(options)


@pytest.mark.parametrize(
    "options",
    [Options(allowed_hosts=("a b",)), Options(allowed_hosts=("*",)), Options(allowed_hosts=("http://x",)),
     Options(host="a/b"), Options(host=""), Options(host="", allowed_hosts=("box",), password=Password("x" * 8))],
)  # fmt: skip
def test_what_is_no_host_is_refused(options: Options) -> None:
    with pytest.raises(UsageError, match="SERVE_HOST_INVALID"):
        check(options)


def test_a_certificate_comes_with_its_key_and_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    file.write_text("no certificate")
    with pytest.raises(UsageError, match="SERVE_CERTIFICATE_INCOMPLETE"):
        check(Options(certificate=file))
    with pytest.raises(UnavailableError, match="SERVE_CERTIFICATE_UNUSABLE"):
        tls_context(Options(certificate=file, key=file))


def test_a_password_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"PASSWORD_FILE_UNREADABLE.*No such file"):
        obtain(tmp_path / "gone", False, {})
    odd = tmp_path / "odd"
    odd.write_bytes(b"\xff\xfe")
    odd.chmod(0o600)
    with pytest.raises(UsageError, match=r"PASSWORD_FILE_UNREADABLE.*not UTF-8"):
        obtain(odd, False, {})


def test_the_childs_environment_is_a_short_list() -> None:
    from backprop_tui.serve.viewer import child_environment

    environ = {"PATH": "/bin", "HF_TOKEN": "t", "LC_ALL": "C", "PYTHONSTARTUP": "x", "LD_PRELOAD": "x", "HF_HOME": "/h"}
    environ["BACKPROP_VIEW_ONLY"] = ""
    watching = child_environment(environ, control=False)
    assert watching["BACKPROP_VIEW_ONLY"] == "1"
    assert watching.keys() == {"PATH", "LC_ALL", "TERM", "COLORTERM", "TEXTUAL_COLOR_SYSTEM", "BACKPROP_VIEW_ONLY"}
    steering = child_environment(environ, control=True)
    assert "BACKPROP_VIEW_ONLY" not in steering
    assert "HF_TOKEN" not in steering
    assert steering["HF_HOME"] == "/h"
