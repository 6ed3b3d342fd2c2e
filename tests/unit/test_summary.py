from __future__ import annotations

import json
import subprocess
import sys

from backprop_tui.config import paths
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.states import RunState
from backprop_tui.store.journal import JournalWriter
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.locks import RunLock
from backprop_tui.store.series import SeriesStore
from backprop_tui.store.summary import list_summaries, load_summary

SPEC = {"name": "pirate", "model": {"base": "demo", "method": "lora"}, "data": {"path": "/data/chat.jsonl"}}


def journal(run: RunDir, *events: tuple[str, dict[str, object]]) -> None:
    writer = JournalWriter(run.journal_file)
    for kind, data in events:
        writer.append(kind, data, attempt=1)
    writer.close()


def test_state_is_what_the_lock_says() -> None:
    run = create_run(SPEC)
    journal(run, (ev.ATTEMPT, {"attempt": 1, "pid": 1, "resume_step": None}), (ev.STATE, {"state": "running"}))
    with RunLock(run.lock_file).acquire():
        assert load_summary(run).state is RunState.RUNNING
    summary = load_summary(run)
    assert summary.state is RunState.CRASHED
    assert (summary.title, summary.model, summary.method, summary.data) == (
        "pirate",
        "demo",
        "lora",
        "/data/chat.jsonl",
    )
    journal(run, (ev.END, {"outcome": "completed", "step": 3, "reason": "", "checkpoint": None}))
    assert load_summary(run).state is RunState.COMPLETED


def test_an_old_run_is_not_read_again() -> None:
    run = create_run(SPEC)
    journal(run, *((ev.STEP, {"step": step, "loss": "nan"}) for step in range(1, 200)))
    first = load_summary(run).view
    size = run.journal_file.stat().st_size
    # What was folded once is remembered: damaging it afterwards changes nothing, what comes later is seen.
    with run.journal_file.open("r+b") as file:
        file.write(b"#" * (size // 2))
    journal(run, (ev.STEP, {"step": 200, "loss": 0.5}))
    second = load_summary(run).view
    assert (first.step, second.step, second.loss, second.seq) == (199, 200, 0.5, 200)


def test_a_damaged_or_foreign_index_is_rebuilt() -> None:
    run = create_run(SPEC)
    journal(run, (ev.STEP, {"step": 7, "loss": 1.0}))
    load_summary(run)
    index = paths.cache_dir() / "index" / f"{run.id}.json"
    for content in (b"", b"{", b"[]", json.dumps({"format": 1, "file": [0, 0], "offset": 9, "view": {}}).encode()):
        index.write_bytes(content)
        assert load_summary(run).view.step == 7


def test_a_damaged_spec_still_lists() -> None:
    run = create_run(SPEC)
    run.spec_file.write_bytes(b"\x00")
    (summary,) = list_summaries()
    assert summary.state is RunState.CRASHED
    assert summary.model == ""


def test_listing_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom backprop_tui.store.summary import list_summaries\nlist_summaries()\n"
        "print([m for m in ('pydantic', 'numpy', 'textual', 'torch', 'asyncio', 'psutil') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def test_a_repeated_step_supersedes_the_earlier_tail() -> None:
    run = create_run(SPEC)
    step = lambda n, loss: (ev.STEP, {"step": n, "loss": loss, "lr": None})  # noqa: E731
    journal(run, *(step(n, float(n)) for n in range(1, 9)), (ev.EVAL, {"step": 8, "loss": 2.0}))
    journal(run, (ev.ATTEMPT, {"attempt": 2, "resume_step": 5}), step(6, 60.0), step(7, "nan"))
    from backprop_tui.store.journal import read_events

    store = SeriesStore()
    events = list(read_events(run.journal_file))
    store.add(events[:8])
    _, y_before = store.get("loss")
    store.add(events[8:])
    x, y = store.get("loss")
    assert x.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert y.tolist()[:6] == [1, 2, 3, 4, 5, 60]
    assert y[6] != y[6], "NaN stays NaN"
    assert store.seams == [5]
    assert store.get("eval_loss")[0].tolist() == []
    assert "lr" not in store.names(), "unknown is not zero"
    assert y_before.tolist() == [float(n) for n in range(1, 9)], "arrays handed out before do not change"


def test_many_points_are_kept() -> None:
    from backprop_tui.protocol.events import Event

    store = SeriesStore()
    store.add(Event(n, 0.0, 0.0, 1, ev.STEP, {"step": n, "loss": 1.0}) for n in range(1, 300_001))
    x, y = store.get("loss")
    assert x.shape == y.shape == (300_000,)
    assert int(x[-1]) == 300_000
