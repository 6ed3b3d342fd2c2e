"""The parts of the worker that need no torch: schedule, progress, pipes, faults."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.faults import fault_payload, is_out_of_memory
from backprop_tui.engine.worker.libraries import see_one_gpu
from backprop_tui.engine.worker.logs import forwarded_logs
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.schedule import make_schedule
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.errors import DataError
from tests.support.worker_driver import quick_spec


def drain(fd: int) -> list[dict]:
    with os.fdopen(fd, "rb") as lines:
        return [json.loads(line) for line in lines]


class TestSchedule:
    def test_an_uneven_epoch_counts_its_short_last_step(self):
        schedule = make_schedule(quick_spec(steps=0, epochs=3, batch_size=4, accumulation=3), 37, 4)
        assert (schedule.batches, schedule.steps_per_epoch, schedule.total_steps) == (10, 4, 12)

    @pytest.mark.parametrize(
        ("value", "due"), [(0, [20]), (0.25, [5, 10, 15, 20]), (1, list(range(1, 21))), (8, [8, 16, 20])]
    )
    def test_every_means_steps_shares_or_the_end(self, value, due):
        schedule = make_schedule(quick_spec(steps=20, save_every=value, eval_every=value), 100, 4)
        assert [step for step in range(1, 21) if schedule.save_due(step)] == due
        assert [step for step in range(1, 21) if schedule.eval_due(step)] == due

    @pytest.mark.parametrize(("warmup", "steps"), [(0, 0), (0.03, 1), (0.5, 10), (5, 5), (99, 20)])
    def test_warmup_is_a_share_or_a_count_and_fits_the_run(self, warmup, steps):
        assert make_schedule(quick_spec(steps=20, warmup=warmup), 100, 4).warmup_steps == steps


class TestProgress:
    def test_only_a_lower_loss_is_better_and_nan_never_is(self):
        progress = Progress()
        assert [progress.measured(step, loss) for step, loss in enumerate([2.0, 1.0, 1.0, float("nan"), 0.5])] == [
            True,
            True,
            False,
            False,
            True,
        ]
        assert (progress.best_loss, progress.best_step, progress.evals_without_better) == (0.5, 4, 0)


class TestEventSink:
    def test_a_host_that_does_not_read_neither_blocks_nor_loses_or_reorders(self):
        out, into = os.pipe()
        sink = EventSink(into)
        for number in range(5000):
            sink.send("step", step=number, filler="x" * 100)
        taken: list[dict] = []
        reader = threading.Thread(target=lambda: taken.extend(drain(out)))
        reader.start()
        sink.close(30)
        reader.join(30)
        assert [event["step"] for event in taken] == list(range(5000))

    def test_a_host_that_is_gone_costs_nothing(self):
        out, into = os.pipe()
        os.close(out)
        sink = EventSink(into)
        for number in range(100):
            sink.send("step", step=number)
        sink.close()

    def test_nothing_follows_the_end(self):
        out, into = os.pipe()
        sink = EventSink(into)
        sink.end("aborted", 3, "", None)
        sink.end("completed", 4, "", None)
        sink.send("step", step=5)
        sink.close()
        assert drain(out) == [{"k": "end", "outcome": "aborted", "step": 3, "reason": "", "checkpoint": None}]

    def test_a_loss_that_is_no_number_is_said_as_such(self):
        out, into = os.pipe()
        sink = EventSink(into)
        sink.send("step", loss=float("nan"), grad_norm=float("inf"))
        sink.close()
        assert drain(out) == [{"k": "step", "loss": "nan", "grad_norm": "inf"}]


class TestInbox:
    def test_commands_arrive_in_order_and_the_end_of_the_pipe_is_a_lost_host(self):
        into, out = os.pipe()
        bad: list[str] = []
        inbox = Inbox(on_bad_command=lambda identity, name, cause: bad.append(name))
        inbox.listen(into)
        for name in ("pause", "dance", "resume"):
            os.write(out, json.dumps({"id": name, "name": name, "args": {}}).encode() + b"\n")
        os.write(out, b"not json\n[]\n")
        os.close(out)
        inbox.wait()
        while not inbox.host_lost:
            inbox.wait()
        assert [command.name for command in inbox.drain()] == [CommandName.PAUSE, CommandName.RESUME]
        assert bad == ["dance"]
        assert inbox.stop_asked()

    def test_an_abort_does_not_wait_for_the_training_thread(self):
        aborted: list[Command] = []
        inbox = Inbox(on_abort=aborted.append)
        inbox.put(Command(CommandName.ABORT))
        assert aborted


class TestLogs:
    def said(self, speak) -> list[dict]:
        out, into = os.pipe()
        sink = EventSink(into)
        with forwarded_logs(sink):
            speak()
        sink.close()
        return drain(out)

    def test_warnings_are_sent_once_harmless_and_without_their_source_line(self):
        def speak():
            for _ in range(3):
                warnings.warn("mind the \x1b[31mgap", UserWarning, stacklevel=1)
            logging.getLogger("some.library").error("it\nbroke")
            logging.getLogger("some.library").info("chatter")
            warnings.warn("soon gone", FutureWarning, stacklevel=1)

        warned, broke = self.said(speak)
        assert (warned["level"], warned["message"]) == ("warn", "mind the ␛[31mgap")
        assert (broke["level"], broke["source"], broke["message"]) == ("error", "some.library", "it↵broke")

    def test_a_flood_is_thinned_out(self):
        events = self.said(lambda: [logging.getLogger("flood").warning("drop %d", n) for n in range(1000)])
        assert 0 < len(events) <= 20

    def test_nothing_stays_behind_in_the_process(self):
        before = list(logging.getLogger().handlers)
        self.said(lambda: None)
        assert logging.getLogger().handlers == before


class TestFaults:
    def test_memory_that_is_not_there_is_recognised_from_torch_itself(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(RuntimeError) as caught:
            torch.empty(1 << 50)
        assert is_out_of_memory(caught.value)
        fault = fault_payload(caught.value, quick_spec(batch_size=4, accumulation=3), 7)
        assert fault["code"] == "OUT_OF_MEMORY"
        assert "batch_size to 2 and accumulation to 6" in fault["next"]

    def test_the_next_step_after_the_smallest_batch_is_another_one(self):
        spec = quick_spec(batch_size=1, gradient_checkpointing=False)
        assert "gradient_checkpointing" in fault_payload(MemoryError(), spec, 0)["next"]

    def test_our_own_errors_keep_their_words(self):
        fault = fault_payload(DataError("X", "It broke.", "Mend it.", {"a": 1}), None, None)
        assert (fault["code"], fault["cause"], fault["next"], fault["detail"]) == (
            "X",
            "It broke.",
            "Mend it.",
            {"a": 1},
        )

    def test_a_missing_package_and_a_missing_part_of_our_own_are_told_apart(self):
        (missing, ours) = (
            fault_payload(ImportError("No module named 'x'", name=name), None, None)
            for name in ("peft", "backprop_tui.engine.worker.x")
        )
        assert (missing["code"], "peft" in missing["cause"]) == ("TRAIN_EXTRA_MISSING", True)
        assert "pip install 'backprop-tui[train]'" in missing["next"]
        assert (ours["code"], "Install it again" in ours["next"]) == ("INSTALLATION_DAMAGED", True)

    def test_foreign_words_are_made_harmless(self):
        assert "\x1b" not in fault_payload(OSError(errno.EIO, "\x1b]0;pwn\x07"), None, 1)["cause"]


@given(st.one_of(st.none(), st.sampled_from(["", "3", "2,3", "GPU-ab,GPU-cd"])))
def test_at_most_one_gpu_is_left_in_sight(seen):
    environment = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    see_one_gpu(environment, quick_spec())
    assert (
        environment["CUDA_VISIBLE_DEVICES"]
        == {None: "0", "": "", "3": "3", "2,3": "2", "GPU-ab,GPU-cd": "GPU-ab"}[seen]
    )
