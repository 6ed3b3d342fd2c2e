"""Every screen on every kind of terminal: the right signs and colours, nothing foreign among the bytes, all put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.escapes import colours, foreign, not_restored
from tests.support.runs import FakeRun
from tests.support.terminal import BACKPROP, Terminal

pytestmark = [pytest.mark.pty, pytest.mark.timeout(240)]
_BRAILLE = {chr(code) for code in range(0x2801, 0x2900)}


@dataclass(frozen=True)
class Place:
    """A terminal: its environment, its size, and what is expected on it."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (100, 30)
    colours: str = "256"
    ascii: bool = False
    profile: str = "local"


PLACES = [
    Place("truecolor", {"COLORTERM": "truecolor"}, colours="truecolor"),
    Place("256 colours", {"TERM": "xterm-256color"}),
    Place("16 colours", {"TERM": "xterm"}, colours="16"),
    Place("screen", {"TERM": "screen"}, colours="16"),
    Place("screen of 256 colours", {"TERM": "screen-256color"}),
    Place("Linux console", {"TERM": "linux"}, colours="16", ascii=True),
    Place("a terminal nobody knows", {"TERM": "xtrem-kittyish"}, colours="16"),
    Place("plain locale", {"LANG": "C", "LC_ALL": "", "LC_CTYPE": ""}, ascii=True),
    Place("plainest locale", {"LC_ALL": "C"}, ascii=True),
    Place("Latin", {"LANG": "de_DE.ISO-8859-1", "LC_ALL": ""}, ascii=True),
    Place("no colour", {"NO_COLOR": "1", "COLORTERM": "truecolor"}, colours="none"),
    Place("an empty NO_COLOR", {"NO_COLOR": "", "COLORTERM": "truecolor"}, colours="truecolor"),
    Place("over ssh", {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, profile="ssh"),
    Place("low", {"BACKPROP_PROFILE": "low", "SSH_TTY": "/dev/pts/9"}, profile="low"),
    Place("smallest", size=(60, 20)),
    Place("small", size=(80, 24)),
    Place("usual", size=(120, 40)),
    Place("huge", size=(300, 80)),
]


@pytest.fixture
def run() -> Iterator[FakeRun]:
    fake = FakeRun(name="voyage").begin(total=400, gpus=2)
    fake.sample("base", "Paris.")
    fake.train(60).measure().save()
    fake.sample("tuned", "Aye, captain! Paris.")
    fake.journal.sync()
    yield fake
    fake.let_go()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_all_screens(place: Place, run: FakeRun) -> None:
    columns, rows = place.size
    env = {
        "TMUX": "",
        "SSH_CONNECTION": "",
        "SSH_CLIENT": "",
        "SSH_TTY": "",
        "COLORTERM": "",
        "LC_CTYPE": "",
        **place.env,
    }
    unset = [name for name in ("TMUX", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "COLORTERM") if not env[name]]
    command = ["env", *[word for name in unset for word in ("-u", name)], BACKPROP, "attach", run.run.short_id]
    seen = []
    with Terminal(command, columns=columns, rows=rows, env=env) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        for key, room in (("3", "3 Run"), ("4", "4 Runs"), ("2", "2 Tune"), ("1", "1 Data"), ("3", "3 Run")):
            terminal.send(key)
            seen.append(terminal.wait_for(rf"\[{room}\]", timeout=40))
            if place.profile != "local":
                assert place.profile in seen[-1].splitlines()[0]
        terminal.wait_for(r"\b60/400")
        terminal.send("?")
        seen.append(terminal.wait_for("Choose the metric"))
        terminal.send("q")
        terminal.wait_for(lambda text: "Choose the metric" not in text)
        terminal.send("q")
        assert terminal.wait(20) == 0
        terminal.wait_for("goes on without the screen")
        raw = terminal.everything()
    assert not foreign(raw)
    assert not not_restored(raw)
    assert colours(raw) == place.colours
    text = "\n".join(seen)
    if place.ascii:
        # All but the window's title and what the shell sees afterwards.
        assert text.isascii(), sorted({sign for sign in text if not sign.isascii()})
        assert raw.decode("utf-8").isascii()
    else:
        assert "─" in text
        assert _BRAILLE & set(text)


def test_a_person_may_know_better_than_the_locale(run: FakeRun) -> None:
    env = {"LANG": "C", "LC_ALL": "", "BACKPROP_ASCII": "0"}
    with Terminal([BACKPROP, "attach", run.run.short_id], env=env) as terminal:
        terminal.wait_for(r"\b60/400")
        assert "─" in terminal.text
        terminal.send("q")
        assert terminal.wait() == 0


@pytest.mark.parametrize("term", ["dumb", "unknown", "DUMB"])
def test_a_terminal_without_a_cursor_is_refused_with_a_way_out(term: str) -> None:
    with Terminal([BACKPROP], env={"TERM": term}) as terminal:
        terminal.wait_for("TERMINAL_DUMB: .*backprop watch --line")
        assert terminal.wait() == 69
        assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("name", ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"])
def test_the_profile_is_taken_from_the_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.app.terminal import examine, read_preferences

    for other in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"):
        monkeypatch.delenv(other, raising=False)
    assert examine({"TERM": "xterm"}, {}).profile.name == "local"
    assert examine({"TERM": "xterm", name: "x"}, {}).profile.name == "ssh"
    assert examine({"TERM": "xterm", name: "x"}, {"profile": "local"}).profile.name == "local"
    environ = {**os.environ, "TERM": "xterm", name: "x", "BACKPROP_PROFILE": "low"}
    assert examine(environ, read_preferences(environ)).profile.name == "low"


@pytest.mark.parametrize(
    ("environ", "unicode"),
    [
        ({}, True),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "en_US.utf8"}, True),
        ({"LANG": "en_US"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "POSIX"}, False),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "C"}, True),
        ({"LC_CTYPE": "en_US.UTF-8", "LANG": "C"}, True),
        ({"LANG": "ja_JP.eucJP"}, False),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
    ],
)
def test_the_signs_are_taken_from_the_locale(environ: dict[str, str], unicode: bool) -> None:
    from backprop_tui.app.terminal import examine

    assert examine({"TERM": "xterm", **environ}, {}).ascii is not unicode
