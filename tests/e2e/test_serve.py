"""`backprop serve` over real HTTP and websockets: who comes in, what they may do, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from backprop_tui.store.layout import RunDir
from tests.support.runs import FakeRun, finished
from tests.support.serving import Serving, browser, enter, until, viewing
from tests.support.terminal import backprop


async def test_the_link_works_once_and_leaves_the_address() -> None:
    with Serving() as serving:
        async with browser() as first, browser() as second:
            async with first.get(f"{serving.url}/?token={serving.token}", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/")
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
            async with first.get(serving.url) as answer:
                assert answer.status == 200
                assert 'id="terminal"' in await answer.text()
            async with second.get(f"{serving.url}/?token={serving.token}") as answer:
                assert answer.status == 401
                assert "was used" in await answer.text()
                assert "Set-Cookie" not in answer.headers
            async with second.get(serving.url) as answer:
                assert answer.status == 401
            # The next link is where the server runs, for whoever started it.
            until(lambda: serving.link() != serving.token)
            async with second.get(f"{serving.url}/?token={serving.link()}") as answer:
                assert answer.status == 200
        assert serving.token not in "".join(serving.said)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", None, "", "http://127.0.0.1", "http://localhost.evil.example"]
)
async def test_a_foreign_page_gets_no_socket_and_starts_nothing(origin: str | None) -> None:
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            headers = {} if origin is None else {"Origin": origin}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{serving.url}/ws", headers=headers)
            assert refused.value.status == 403
            async with client.post(f"{serving.url}/logout", headers=headers) as answer:
                assert answer.status == 403
            async with client.get(serving.url) as answer:
                assert answer.status == 200, "a foreign page can't log anybody out"
            assert not serving.children()


async def test_two_origins_are_as_bad_as_none() -> None:
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            from multidict import CIMultiDict

            headers = CIMultiDict([("Origin", serving.url), ("Origin", "https://evil.example")])
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{serving.url}/ws", headers=headers)
            assert refused.value.status == 403


async def test_another_name_for_this_machine_is_refused() -> None:
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            names = (
                "evil.example",
                "evil.example:{port}",
                "127.0.0.1:1",
                "127.0.0.1",
                "localhost.:{port}",
                "x@127.0.0.1:{port}",
                "",
            )
            for host in [name.format(port=serving.port) for name in names]:
                for path in ("/", "/ws", "/static/textual.js", "/login", f"/?token={serving.link()}"):
                    headers = {"Host": host, "Origin": f"http://{host}"}
                    async with client.get(f"{serving.url}{path}", headers=headers) as answer:
                        assert answer.status in (400, 421), (host, path)
                        said = await answer.text()
                        assert 'id="terminal"' not in said
                        assert "WebSocket" not in said


async def test_without_a_session_there_is_no_socket() -> None:
    with Serving() as serving:
        async with browser() as client:
            for cookie in ({}, {f"backprop-{serving.port}": "guess"}, {f"backprop-{serving.port}": serving.token}):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await client.ws_connect(f"{serving.url}/ws", headers={"Origin": serving.url})
                assert refused.value.status == 401
                client.cookie_jar.update_cookies(cookie)
        assert not serving.children()


async def test_only_the_three_files_are_served_and_nothing_is_listed() -> None:
    with Serving() as serving:
        async with browser() as client:
            for path in (
                "/static/",
                "/static",
                "/static/..%2fserver.py",
                "/static/../server.py",
                "/static/js/textual.js",
                "/download/x",
                "/x",
            ):
                async with client.get(f"{serving.url}{path}") as answer:
                    assert answer.status == 404, path
            async with client.get(f"{serving.url}/static/textual.js") as answer:
                assert answer.status == 200
                assert "WebSocket" in await answer.text()
                policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http://" not in policy


async def test_the_app_is_seen_and_follows_keys_and_sizes() -> None:
    finished(steps=40)
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving) as view:
                await view.wait_for("completed")
                assert "view only" in view.text
                await view.type("4")
                await view.wait_for(r"\[4 Runs\]")
                await view.socket.send_json(["ping", "7"])
                assert b"\x1b[?1003h" not in view.raw
                await view.type("q")
                await view.wait_closed()
        until(lambda: not serving.children())


async def test_by_default_a_viewer_changes_nothing() -> None:
    fake = FakeRun(name="voyage").begin(total=50).train(5).save()
    fake.journal.sync()
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving) as view:
                await view.wait_for(r"\b5/50")
                for key in "psexlr12":
                    await view.type(key)
                    await view.wait_for("only watches")
                    await view.type("\x1b[F")
                    await view.wait_for(r"(?s)^(?!.*only watches)")
                assert "[3 Run]" in view.text
                await view.type("?")
                help_text = await view.wait_for("Choose the metric")
                assert "Pause" not in help_text
                assert "Set learning rate" not in help_text
        fake.end()
    kinds = {line.split('"kind":"')[1].split('"')[0] for line in fake.run.journal_file.read_text().splitlines()}
    assert "command" not in kinds


def test_the_refusal_is_in_the_program_not_on_the_screen(tmp_path: Path) -> None:
    run = finished(steps=40)
    for argv in (
        ["delete", run.short_id, "--yes"],
        ["resume", run.short_id],
        ["config", "set", "theme", "mono"],
        ["train", "demo"],
    ):
        done = backprop(*argv, BACKPROP_VIEW_ONLY="1")
        assert done.returncode == 69, (argv, done)
        assert "VIEW_ONLY" in done.stderr, (argv, done)
    fake = FakeRun().begin().train()
    try:
        for argv in (["stop"], ["pause"], ["abort"], ["checkpoint"], ["set", "lr=1e-4"]):
            done = backprop(argv[0], fake.run.short_id, *argv[1:], BACKPROP_VIEW_ONLY="1")
            assert (done.returncode, "VIEW_ONLY" in done.stderr) == (69, True), (argv, done)
    finally:
        fake.end()
    assert run.journal_file.exists()


async def test_the_child_inherits_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    finished(steps=40)
    secrets = {
        "HF_TOKEN": "hf_canary", "WANDB_API_KEY": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "SSH_AUTH_SOCK": "/canary",
        "BACKPROP_SERVE_PASSWORD": "canary-password", "TEXTUAL": "devtools",
    }  # fmt: skip
    with Serving(env=secrets) as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving) as view:
                await view.wait_for("completed")
                (child,) = serving.children()
                environment = child.environ()
                assert "canary" not in str(environment)
                assert environment["BACKPROP_VIEW_ONLY"] == "1"
                assert "canary" not in " ".join(child.cmdline())
                assert os.getsid(child.pid) == child.pid
        said = "".join(serving.said)
        assert "canary" not in said


async def test_an_idle_view_is_closed_and_its_session_with_it() -> None:
    finished(steps=40)
    with Serving("--idle", "0.1") as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving) as view:
                await view.wait_for("completed")
                # What the page sends by itself is nobody's doing.
                await view.socket.send_json(["ping", "1"])
                await view.wait_closed()
            async with client.get(serving.url) as answer:
                assert answer.status == 401
        until(lambda: not serving.children())


async def test_logging_out_ends_the_views_of_that_session_only() -> None:
    finished(steps=40)
    with Serving() as serving:
        async with browser() as one, browser() as other:
            await enter(one, serving)
            until(lambda: serving.link() != serving.token)
            await enter(other, serving)
            async with viewing(one, serving) as ended, viewing(other, serving) as going:
                await ended.wait_for("completed")
                await going.wait_for("completed")
                assert len(serving.children()) == 2
                async with one.post(f"{serving.url}/logout", headers={"Origin": serving.url}) as answer:
                    assert answer.status == 200
                await ended.wait_closed()
                until(lambda: len(serving.children()) == 1)
                await going.type("4")
                await going.wait_for(r"\[4 Runs\]")
            async with one.get(serving.url) as answer:
                assert answer.status == 401


async def test_a_hundred_sockets_start_no_more_than_the_cap() -> None:
    finished(steps=40)
    with Serving("--viewers", "3") as serving:
        async with browser() as client:
            await enter(client, serving)

            async def attempt() -> aiohttp.ClientWebSocketResponse | int:
                try:
                    return await client.ws_connect(f"{serving.url}/ws", headers={"Origin": serving.url})
                except aiohttp.WSServerHandshakeError as refused:
                    return refused.status

            got = await asyncio.gather(*(attempt() for _ in range(100)))
            sockets = [one for one in got if not isinstance(one, int)]
            assert len(sockets) == 3
            assert [one for one in got if isinstance(one, int)] == [503] * 97
            assert len(until(lambda: len(found := serving.children()) == 3 and found)) == 3
            for socket in sockets:
                await socket.close()
            until(lambda: not serving.children())
            # The places are free again.
            async with viewing(client, serving) as view:
                await view.wait_for("completed")


async def test_a_browser_that_stops_reading_holds_nobody_else_and_is_ended() -> None:
    finished(steps=40)
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving, 300, 100) as stuck, viewing(client, serving) as going:
                for turn in range(40):
                    await stuck.socket.send_json(["resize", {"width": 400 + turn % 2, "height": 200}])
                await going.wait_for("completed")
                await going.type("4")
                await going.wait_for(r"\[4 Runs\]")


@pytest.mark.parametrize(
    "message", ["x", "{}", "[]", '["stdin"]', '["stdin", 7]', '["resize", {"width": "a"}]', '["open", "x"]', "[" * 5000]
)
async def test_what_is_no_message_of_the_page_ends_the_view(message: str) -> None:
    finished(steps=40)
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving) as view:
                await view.wait_for("completed")
                await view.socket.send_str(message)
                await view.wait_closed()
        until(lambda: not serving.children())
        assert "Traceback" not in "".join(serving.said)


async def test_odd_sizes_are_held_within_bounds() -> None:
    finished(steps=40)
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            url = f"{serving.url}/ws?width=-5&height=99999999"
            async with client.ws_connect(url, headers={"Origin": serving.url}) as socket:
                await socket.send_json(["resize", {"width": 10**9, "height": -1}])
                await socket.send_json(["resize", {"width": 120, "height": 40}])
                from tests.support.serving import View

                view = View(socket, 120, 40)
                await view.wait_for("completed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_when_the_server_goes_so_do_the_views_but_not_the_runs(number: signal.Signals) -> None:
    fake = FakeRun(name="voyage").begin(total=50).train(5)
    fake.journal.sync()
    with Serving() as serving:
        async with browser() as client:
            await enter(client, serving)
            async with viewing(client, serving) as view:
                await view.wait_for(r"\b5/50")
                serving.process.send_signal(number)
                await view.wait_closed()
        serving.process.wait(20)
        until(lambda: not serving.children())
    assert RunDir(fake.run.path).lock_file.exists()
    fake.end()
