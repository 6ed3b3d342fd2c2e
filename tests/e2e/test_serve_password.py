"""The password of `backprop serve`: where it comes from, who must know it, and how long a guesser waits."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from tests.support.runs import finished
from tests.support.serving import Serving, browser, enter, until, viewing
from tests.support.terminal import BACKPROP, Terminal, backprop

RIGHT = "correct horse battery"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_other_machines_are_not_let_in_without_one(host: str) -> None:
    done = backprop("serve", "--host", host, "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("SERVE_HOST_OPEN: ")


def test_every_address_needs_a_name_that_browsers_use() -> None:
    done = backprop("serve", "--host", "0.0.0.0", "--port", "0", BACKPROP_SERVE_PASSWORD=RIGHT)
    assert done.returncode == 2
    assert done.stderr.startswith("SERVE_HOST_NAMELESS: ")


def test_it_is_no_option_and_a_file_must_be_private(tmp_path: Path) -> None:
    assert backprop("serve", "--password", RIGHT).returncode == 2, "words after --password are a run's name at most"
    file = tmp_path / "password"
    file.write_text(f"{RIGHT}\n")
    file.chmod(0o644)
    done = backprop("serve", "--port", "0", "--password-file", str(file))
    assert done.stderr.startswith("PASSWORD_FILE_OPEN: ")
    done = backprop("serve", "--port", "0", BACKPROP_SERVE_PASSWORD="short")
    assert done.stderr.startswith("PASSWORD_WEAK: ")
    assert "short" not in done.stderr
    done = backprop("serve", "--port", "0", "--password")
    assert done.stderr.startswith("PASSWORD_UNASKED: ")


def test_it_is_asked_for_unseen() -> None:
    with Terminal([BACKPROP, "serve", "--port", "0", "--password"]) as terminal:
        terminal.wait_for("Password for the browser:")
        terminal.send(f"{RIGHT}\r")
        terminal.wait_for("Again:")
        terminal.send(f"{RIGHT}\r")
        terminal.wait_for("Viewers can only watch")
        assert RIGHT.encode() not in terminal.raw
        terminal.send("\x03")
        assert terminal.wait() == 0


async def test_who_knows_it_comes_in_and_who_guesses_waits(tmp_path: Path) -> None:
    finished(steps=40)
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(f"{RIGHT}\n")
    with Serving("--password-file", str(file)) as serving:
        headers = {"Origin": serving.url}
        async with browser() as client:
            async with client.get(serving.url) as answer:
                assert answer.url.path == "/login"
                assert 'type="password"' in await answer.text()
            async with client.post(f"{serving.url}/login", data={"password": RIGHT}) as answer:
                assert answer.status == 403, "a page from elsewhere can't log anybody in either"
            async with client.post(f"{serving.url}/login", data={"password": RIGHT}, headers=headers) as answer:
                assert answer.status == 200
                assert 'id="terminal"' in await answer.text()
            async with viewing(client, serving) as view:
                await view.wait_for("completed")

        async with browser() as guesser:

            async def guess(word: str) -> int:
                async with guesser.post(f"{serving.url}/login", data={"password": word}, headers=headers) as answer:
                    return answer.status

            statuses = await asyncio.gather(*(guess(f"guess number {turn}") for turn in range(30)))
            assert set(statuses) == {401, 429}
            assert statuses.count(401) <= 5, "guesses sent side by side are counted"
            async with guesser.post(f"{serving.url}/login", data={"password": RIGHT}, headers=headers) as answer:
                assert answer.status == 429, "the right one is not told from the wrong ones while waiting"
                assert int(answer.headers["Retry-After"]) >= 1
            # The link is not guessed at, so it works meanwhile.
            await enter(guesser, serving)
        assert RIGHT not in "".join(serving.said)
        assert RIGHT not in " ".join(
            until(lambda: Path(f"/proc/{serving.process.pid}/cmdline").read_text().split("\0"))
        )


async def test_without_one_there_is_no_login() -> None:
    with Serving() as serving:
        async with browser() as client:
            async with client.get(f"{serving.url}/login") as answer:
                assert answer.status == 404
            async with client.post(
                f"{serving.url}/login", data={"password": ""}, headers={"Origin": serving.url}
            ) as answer:
                assert answer.status == 404


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


async def test_over_https_the_cookie_stays_there(certificate: tuple[Path, Path]) -> None:
    finished(steps=40)
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with Serving("--certificate", str(certificate[0]), "--key", str(certificate[1])) as serving:
        assert serving.url.startswith("https://127.0.0.1:")
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), connector=aiohttp.TCPConnector(ssl=context)
        ) as client:
            async with client.get(f"{serving.url}/?token={serving.token}", allow_redirects=False) as answer:
                cookie = answer.headers["Set-Cookie"]
                assert cookie.startswith("__Host-")
                assert "Secure" in cookie
            async with client.get(serving.url) as answer:
                assert "wss://127.0.0.1" in await answer.text()
            async with viewing(client, serving) as view:
                await view.wait_for("completed")


def test_a_port_that_is_taken_is_told() -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = backprop("serve", "--port", str(other.getsockname()[1]))
    assert done.returncode == 69
    assert done.stderr.startswith("SERVE_PORT_TAKEN: ")
