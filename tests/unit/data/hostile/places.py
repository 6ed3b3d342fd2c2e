"""Paths: links that lead out, special files, folders with the names of files, hostile names, and words that name nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.unit.data.hostile.case import CHAT, Case


def _with(*extra: Callable[[Path], object]) -> Callable[[Path], None]:
    """A folder with one good file and what else is asked for."""

    def make(folder: Path) -> None:
        (folder / "good.jsonl").write_bytes(CHAT)
        for step in extra:
            step(folder)

    return make


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "x.jsonl")


def _device(folder: Path) -> None:
    (folder / "x.jsonl").symlink_to("/dev/zero")


def _socket(folder: Path) -> None:
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)
        try:
            server.bind("x.jsonl")
        finally:
            os.chdir(here)


def _folder(folder: Path) -> None:
    (folder / "x.jsonl").mkdir()


def _link_out(folder: Path) -> None:
    (folder / "x.jsonl").symlink_to(folder.parent / "outside.jsonl")
    (folder / "y.jsonl").symlink_to("../outside.jsonl")


def _folder_out(folder: Path) -> None:
    (folder / "sub").symlink_to(folder.parent)


def _round(folder: Path) -> None:
    (folder / "sub").symlink_to(folder)


def _dangling(folder: Path) -> None:
    (folder / "x.jsonl").symlink_to("/does/not/exist")


def _hidden(folder: Path) -> None:
    (folder / ".x.jsonl").write_bytes(CHAT)
    (folder / ".git").mkdir()
    (folder / ".git" / "x.jsonl").write_bytes(CHAT)


def _hostile_name(folder: Path) -> None:
    (folder / "\x1b]0;owned\x07[INST]\u202e.jsonl").write_bytes(b"broken\n")


PLACES = [
    Case("FIFO", "x.jsonl", _fifo, error="DATA_NOT_A_FILE"),
    Case("device", "x.jsonl", _device, error="DATA_NOT_A_FILE"),
    Case("socket", "x.jsonl", _socket, error="DATA_NOT_A_FILE"),
    Case("folder named as a file", "x.jsonl", _folder, error="DATA_FOLDER_EMPTY"),
    Case("link to nowhere", "x.jsonl", _dangling, error="DATA_FILE_MISSING"),
    Case("FIFO in a folder", "", _with(_fifo), "{}", kept=1),
    Case("device in a folder", "", _with(_device), "{}", kept=1),
    Case("socket in a folder", "", _with(_socket), "{}", kept=1),
    Case("folder named as a file in a folder", "", _with(_folder), "{}", kept=1),
    Case("links out of a folder", "", _with(_link_out), "{}", kept=1),
    Case("links out of a pattern", "", _with(_link_out), "{}/*.jsonl", kept=1),
    Case("folder link out", "", _with(_folder_out), "{}/**/*.jsonl", kept=1),
    Case("folder link round", "", _with(_round), "{}", kept=1),
    Case("links to nowhere in a folder", "", _with(_dangling), "{}", kept=1),
    Case("hidden files", "", _with(_hidden), "{}", kept=1),
    Case("hostile name", "", _with(_hostile_name), "{}", kept=1, dropped={"DATA_LINE_NOT_JSON": 1}),
    Case("nothing but links out", "", _link_out, "{}", error="DATA_FOLDER_EMPTY"),
    Case("up after a pattern", "", _with(), "{}/*/../../outside.jsonl", error="DATA_WORDS_INVALID"),
    Case("pattern without a match", "", _with(), "{}/*.parquet", error="DATA_GLOB_EMPTY"),
    Case("missing file", "", _with(), "{}/god.jsonl", error="DATA_FILE_MISSING"),
    Case("file as a folder", "", _with(), "{}/good.jsonl/x.jsonl", error="DATA_FILE_MISSING"),
    Case("name of 5,000 characters", "", _with(), "{}/" + "x" * 5000 + ".jsonl", error="DATA_FILE_MISSING"),
    Case("empty folder", "", lambda _: None, "{}", error="DATA_FOLDER_EMPTY"),
    Case("weight of nothing", "", _with(), "0x {}/good.jsonl", error="DATA_WORDS_INVALID"),
    Case("hub without a network", "", _with(), "hf://datasets/org/name", error="HUB_UNREACHABLE"),
    Case("hub path that climbs", "", _with(), "hf://datasets/org/name/../../etc", error="DATA_WORDS_INVALID"),
    Case("address of the web", "", _with(), "http://127.0.0.1:1/x.jsonl", error="DATA_WORDS_INVALID"),
]
