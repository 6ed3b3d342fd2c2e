"""A run that was live when the machine went down: listed as lost to that, and as resumable."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backprop_tui.cli.main import main
from backprop_tui.store.locks import Identity
from backprop_tui.store.summary import load_summary
from tests.support.runs import FakeRun


def test_a_run_lost_to_a_reboot_says_so_and_can_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeRun(name="voyage").begin(total=400).train(60).save()
    fake.journal.sync()
    who = Identity.current("")
    who.write(fake.run.identity_file)
    assert not load_summary(fake.run).rebooted, "it is alive"
    fake.let_go()
    assert load_summary(fake.run).state.value == "crashed"
    assert not load_summary(fake.run).rebooted, "a crash on this boot"
    # What the kernel calls a boot is the only difference.
    replace(who, boot_id="00000000-0000-0000-0000-000000000000").write(fake.run.identity_file)
    assert load_summary(fake.run).rebooted
    assert main(["runs"]) == 0
    told = capsys.readouterr()
    assert "lost when the machine went down before anything was saved" in told.err
    assert "crashed" in told.out
    assert main(["show", fake.run.short_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rebooted"], shown["resume_step"]) == (True, None)
