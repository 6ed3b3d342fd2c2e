"""A headless Chromium driven over the WebDriver protocol, with the standard library only."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

#: Nothing is looked up or fetched but what a test asks for.
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,800",
)  # fmt: skip


def absent() -> str:
    """Why there is no Chromium to test with; empty when there is."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed (apt-get install chromium chromium-driver)" if missing else ""


class Chromium:
    """One browser with one page."""

    def __init__(self, profile: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--log-level=OFF"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._base = f"http://127.0.0.1:{port}"
        self._session = ""
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"]}
        words = {
            "capabilities": {
                "alwaysMatch": {
                    "browserName": "chrome",
                    "goog:chromeOptions": options,
                    "goog:loggingPrefs": {"browser": "ALL"},
                }
            }
        }
        try:
            self._wait_for_driver()
            self._session = f"/session/{self._ask('POST', '/session', words)['sessionId']}"
        except BaseException:
            self._driver.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._ask("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait(10)

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.page("POST", "/url", {"url": url})

    @property
    def url(self) -> str:
        """Where the page is now."""
        return str(self.page("GET", "/url"))

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self.page("POST", "/execute/sync", {"script": script, "args": []})

    def wait_until(self, script: str, timeout: float = 60.0) -> Any:
        """What a script returns once it is true."""
        deadline = time.monotonic() + timeout
        while not (value := self.run(f"return {script}")):
            assert time.monotonic() < deadline, (script, self.log())
            time.sleep(0.1)
        return value

    def type(self, keys: str) -> None:
        """Press keys where the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.page("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def click(self, selector: str) -> None:
        """Click the first element of a CSS selector."""
        found = self.page("POST", "/element", {"using": "css selector", "value": selector})
        self.page("POST", f"/element/{next(iter(found.values()))}/click", {})

    def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self.page("GET", "/screenshot"))

    def log(self) -> list[str]:
        """What the page complained of since the last call."""
        return [str(entry["message"]) for entry in self.page("POST", "/se/log", {"type": "browser"})]

    def page(self, method: str, path: str, words: object = None) -> Any:
        """One request about the page."""
        return self._ask(method, f"{self._session}{path}", words)

    def _ask(self, method: str, path: str, words: object = None) -> Any:
        body = None if words is None else json.dumps(words).encode()
        request = urllib.request.Request(self._base + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(refused.read().decode()[:1000]) from None

    def _wait_for_driver(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self._ask("GET", "/status")
                return
            except OSError:
                assert time.monotonic() < deadline, "chromedriver never listened"
                time.sleep(0.1)
