"""Several runs merged into one adapter, by the real worker on the bundled model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from backprop_tui.config import paths
from backprop_tui.data.models import resolve_model
from backprop_tui.engine.worker.multi.merger import Merger
from backprop_tui.protocol.errors import UsageError
from backprop_tui.store import checkpoints
from backprop_tui.store.resuming import find_candidate
from tests.support.worker_driver import WorkerProcess, WorkerThread, checkpoint_dir, new_run, quick_spec, train

pytestmark = pytest.mark.train

#: Three runs of three steps, checkpoints also inside them.
THREE = {"multi": "windows", "runs": 3, "steps": 3, "save_every": 2, "accumulation": 1, "dropout": 0.1}
ADAPTER = "adapter_model.safetensors"


def merger_of(worker: WorkerThread, place: Path) -> Merger:
    assert worker.session.spec is not None
    read = Merger(worker.session.spec.multi, worker.session.spec.optim.seed)
    read.load(place / "merger")
    return read


def delivered(worker: WorkerThread) -> dict[str, torch.Tensor]:
    return load_file(checkpoint_dir(worker.run, worker.ended()) / ADAPTER)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WorkerThread:
    """The multi-run that nothing disturbed."""
    return in_own_home(tmp_path_factory, **THREE)


def in_own_home(tmp_path_factory: pytest.TempPathFactory, **overrides: object) -> WorkerThread:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA_DIR", str(tmp_path_factory.mktemp("home")))
        worker = train(**overrides)
    assert worker.ended()["outcome"] == "completed", worker.ended()
    return worker


class TestWhole:
    def test_steps_count_through_all_runs_and_each_run_has_its_own_schedule(self, whole):
        assert [event["step"] for event in whole.of("step")] == list(range(1, 10))
        begun = whole.of("stage", status="begin")
        assert [(stage["index"], stage["first_step"], stage["last_step"]) for stage in begun] == [
            (1, 1, 3), (2, 4, 6), (3, 7, 9)
        ]  # fmt: skip
        rates = [event["lr"] for event in whole.of("step")]
        assert rates[:3] == rates[3:6] == rates[6:]
        assert len(set(rates[:3])) > 1
        assert whole.of("plan")[0]["total_steps"] == 9

    def test_windows_are_disjoint_slices_that_use_every_row(self, whole):
        assert sum(stage["rows"] for stage in whole.of("stage", status="begin")) == whole.of("plan")[0]["train_rows"]

    def test_every_run_is_merged_with_its_share(self, whole):
        merges = whole.of("merge")
        assert [merge["share"] for merge in merges] == [1.0, 1 / math.sqrt(2), 1 / math.sqrt(3)]
        assert [merge["merged"] for merge in merges] == [1, 2, 3]
        assert merges[0]["drift"] is None
        assert all(0 < merge["drift"] < 2 for merge in merges[1:])

    def test_the_matrix_has_the_base_and_a_row_for_every_run(self, whole):
        rows = whole.of("matrix")
        assert [row["index"] for row in rows] == [0, 1, 2, 3]
        assert all(len(row["losses"]) == 3 and all(math.isfinite(loss) for loss in row["losses"]) for row in rows)
        assert max(rows[-1]["losses"]) < min(rows[0]["losses"])

    def test_the_delivered_adapter_is_the_merged_one_and_not_the_last_fine_tuned(self, whole):
        place = checkpoint_dir(whole.run, whole.ended())
        merger = merger_of(whole, place)
        tensors = load_file(place / ADAPTER)
        assert tensors
        unlike_last = 0
        for name, value in tensors.items():
            ours = name.replace(".weight", ".default.weight")
            assert torch.equal(value, merger.merged[ours])
            unlike_last += not torch.equal(value, merger.memory.last[ours])
        assert unlike_last == len(tensors) // 2

    def test_plain_peft_loads_it_and_measures_the_loss_that_was_reported(self, whole):
        place = checkpoint_dir(whole.run, whole.ended())
        base = AutoModelForCausalLM.from_pretrained(resolve_model("demo"))
        model = PeftModel.from_pretrained(base, str(place)).eval()
        from backprop_tui.data import training_set
        from backprop_tui.protocol.spec import DataPart

        rows = training_set.build(
            DataPart(path=str(paths.demo_data_file("eval")), eval_split=0), resolve_model("demo"), seed=0
        )
        total = count = 0.0
        for row in rows.train:
            ids, learnt = torch.tensor([list(row.ids)]), torch.tensor(list(row.trained))[1:]
            with torch.no_grad():
                losses = torch.nn.functional.cross_entropy(
                    model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="none"
                )
            total, count = total + float(losses[learnt].sum()), count + int(learnt.sum())
        assert total / count == pytest.approx(whole.of("eval")[-1]["loss"], rel=1e-4)

    def test_every_checkpoint_delivers_what_was_merged_by_then(self, whole):
        inside = whole.run.checkpoint(8)
        merger = merger_of(whole, inside)
        assert merger.runs == 2
        names = [name for name in load_file(inside / ADAPTER) if "lora_B" in name]
        on_top, training = load_file(inside / ADAPTER), load_file(inside / "training" / ADAPTER)
        assert all(
            torch.equal(on_top[name], merger.merged[name.replace(".weight", ".default.weight")]) for name in names
        )
        assert not any(torch.equal(on_top[name], training[name]) for name in names)


class TestResume:
    @pytest.mark.parametrize("misfortune", ["worker.step:5", "worker.merge.accepted:2"])
    def test_a_kill_in_a_run_or_inside_the_merge_changes_nothing_in_the_end(self, misfortune, whole, home):
        run = new_run(**THREE)
        with WorkerProcess(run, env={"FAILPOINT": misfortune}) as killed:
            assert killed.wait() == -9, killed.words()
        newest = find_candidate(run).info
        assert newest is not None
        with WorkerThread(run, resume=newest.path.relative_to(run.path).as_posix()) as resumed:
            end = resumed.ended()
        assert end["outcome"] == "completed", end
        ours, theirs = checkpoint_dir(run, end), checkpoint_dir(whole.run, whole.ended())
        for name in (ADAPTER, "merger/merger.safetensors"):
            one, other = load_file(ours / name), load_file(theirs / name)
            assert one.keys() == other.keys()
            assert all(torch.equal(value, other[key]) for key, value in one.items())
        assert json.loads((ours / "merger/runs.json").read_text()) == json.loads(
            (theirs / "merger/runs.json").read_text()
        )
        figures = {
            event["step"]: (event["loss"], event["grad_norm"], event["lr"], event["tokens"])
            for event in whole.of("step")
        }
        for event in resumed.of("step"):
            assert (event["loss"], event["grad_norm"], event["lr"], event["tokens"]) == figures[event["step"]]
        assert resumed.of("merge") == [event for event in whole.of("merge") if event["step"] > newest.step]

    def test_a_stop_between_the_last_step_and_the_merge_merges_on_resuming(self, whole, home):
        run = new_run(**THREE)
        with WorkerProcess(run, env={"FAILPOINT": "worker.merge.begin:2:term"}) as stopped:
            end = stopped.ended()
            stopped.wait()
        assert (end["outcome"], end["step"]) == ("stopped", 6)
        assert len(stopped.of("merge")) == 1
        with WorkerThread(run, resume=end["checkpoint"]) as resumed:
            end = resumed.ended()
        assert end["outcome"] == "completed", end
        assert [merge["index"] for merge in resumed.of("merge")] == [2, 3]
        wanted = delivered(whole)
        assert all(
            torch.equal(value, wanted[name]) for name, value in load_file(checkpoint_dir(run, end) / ADAPTER).items()
        )

    def test_a_stop_in_a_run_saves_what_is_merged_and_going_on_ends_as_if_nothing_had_happened(self, whole, home):
        run = new_run(**THREE)
        with WorkerThread(run) as stopped:
            stopped.wait_for("step", step=4)
            stopped.command("stop")
            end = stopped.ended()
        assert end["outcome"] == "stopped"
        with WorkerThread(run, resume=end["checkpoint"]) as resumed:
            end = resumed.ended()
        assert end["outcome"] == "completed", end
        wanted = delivered(whole)
        assert all(
            torch.equal(value, wanted[name]) for name, value in load_file(checkpoint_dir(run, end) / ADAPTER).items()
        )

    def test_a_merger_that_was_damaged_is_refused_by_name(self, home):
        run = new_run(**{**THREE, "runs": 2, "steps": 1, "save_every": 0})
        with WorkerThread(run) as first:
            end = first.ended()
        place = run.path / end["checkpoint"]
        facts = place / "merger" / "merger.json"
        facts.write_text(
            facts.read_text().replace('"accepted": 2', '"accepted": 9').replace('"sha256": "', '"sha256": "0')
        )
        assert checkpoints.verify(place) is not None


class TestOptions:
    def test_datasets_are_taken_one_after_the_other(self, home, tmp_path):
        lines = paths.demo_data_file("train").read_text().splitlines()
        for name, part in (("one", lines[:40]), ("two", lines[40:100])):
            (tmp_path / f"{name}.jsonl").write_text("\n".join(part) + "\n")
        words = f"{tmp_path / 'two.jsonl'} + {tmp_path / 'one.jsonl'}"
        worker = train(path=words, multi="datasets", steps=2, eval_split=0.1)
        assert worker.ended()["outcome"] == "completed", worker.ended()
        begun = worker.of("stage", status="begin")
        assert [Path(stage["name"]).stem for stage in begun] == ["two", "one"]
        plan = worker.of("plan")[0]
        assert sum(stage["rows"] for stage in begun) == plan["train_rows"] == 100 - plan["eval_rows"]

    def test_replay_draws_earlier_rows_and_no_others(self, home):
        plain, again = (train(multi="windows", runs=2, steps=2, run_rows=20, replay=share) for share in (0.0, 0.5))
        second = again.of("stage", status="begin", index=2)[0]
        assert (second["replayed"], second["rows"]) == (20, 40)
        assert again.of("stage", status="begin", index=1)[0]["replayed"] == 0
        # The first run is the same, the second draws other rows.
        losses = [[event["loss"] for event in worker.of("step")] for worker in (plain, again)]
        assert losses[0][:2] == losses[1][:2]
        assert losses[0][2:] != losses[1][2:]

    def test_a_gate_refuses_the_merge_and_what_is_delivered_stays(self, home):
        worker = train(multi="windows", runs=2, steps=2, gate="drift", gate_drift=0.0)
        first, second = worker.of("merge")
        assert first["accepted"]
        assert not second["accepted"]
        assert "drifts" in second["reason"]
        assert second["merged"] == 1
        rows = worker.of("matrix")
        assert rows[2]["losses"] == rows[1]["losses"]
        before, after = (load_file(worker.run.checkpoint(step) / ADAPTER) for step in (2, 4))
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    def test_a_merge_that_harms_earlier_runs_is_refused_and_the_run_goes_on(self, home, tmp_path):
        """The second run unlearns what the first was taught: rates are such that its update is wild."""
        lines = paths.demo_data_file("train").read_text().splitlines()
        rows = [json.loads(line) for line in lines[:120]]
        for row in rows[60:]:
            row["messages"][-1]["content"] = "No. " * 8
        for name, part in (("good", rows[:60]), ("bad", rows[60:]), ("again", rows[:60])):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
        words = " + ".join(str(tmp_path / f"{name}.jsonl") for name in ("good", "bad", "again"))
        worker = train(
            path=words, multi="datasets", steps=6, eval_split=0.2, warmup=0, learning_rate=1e-2, accumulation=1,
            gate="eval", gate_eval=0.02,
        )  # fmt: skip
        assert worker.ended()["outcome"] == "completed", worker.ended()
        good, bad, again = worker.of("merge")
        assert (good["accepted"], bad["accepted"]) == (True, False)
        assert "The mean held-out loss of earlier runs would go from" in bad["reason"]
        assert bad["merged"] == 1, "the count of merges, and with it the next share, is as before"
        assert again["index"] == 3
        rows_of = {row["index"]: row["losses"] for row in worker.of("matrix")}
        assert rows_of[2] == rows_of[1], "of a refused merge nothing is delivered that could be measured"
        before, after = (load_file(worker.run.checkpoint(step) / ADAPTER) for step in (6, 12))
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        assert [event["index"] for event in worker.of("stage", status="begin")] == [1, 2, 3]

    def test_a_pause_in_a_later_run_holds_it_and_changes_nothing(self, whole, home):
        with WorkerThread(new_run(**THREE)) as worker:
            worker.wait_for("step", step=4)
            assert worker.obeyed("pause")["ok"]
            paused = worker.of("step")[-1]["step"]
            assert paused < 9
            assert worker.obeyed("evaluate")["ok"]
            assert worker.of("step")[-1]["step"] == paused
            assert worker.obeyed("resume")["ok"]
            assert worker.ended()["outcome"] == "completed"
        wanted = delivered(whole)
        assert all(torch.equal(value, wanted[name]) for name, value in delivered(worker).items())

    def test_weights_in_training_are_measured_and_never_the_best(self, home):
        worker = train(multi="windows", runs=2, steps=3, eval_every=1, save_every=1)
        evals = worker.of("eval")
        assert [event["step"] for event in evals] == [0, 1, 2, 3, 4, 5, 6]
        # The loss falls with every step, so each of them would be a new best.
        losses = [event["loss"] for event in evals]
        assert losses == sorted(losses, reverse=True)
        assert [event["step"] for event in evals if event["best"]] == [3, 6]
        assert [event["step"] for event in worker.of("checkpoint", best=True)] == [3, 6]

    def test_the_learning_rate_goes_from_the_first_run_to_the_last(self, home):
        worker = train(multi="windows", runs=3, steps=1, learning_rate=2e-4, lr_last=5e-5)
        assert [stage["lr"] for stage in worker.of("stage", status="begin")] == pytest.approx([2e-4, 1.25e-4, 5e-5])

    def test_patience_ends_early_and_keeps_the_run_that_ended_it(self, home):
        # A rate that teaches nothing: no run is better than the first.
        worker = train(multi="windows", runs=5, steps=1, learning_rate=1e-30, patience=2)
        end = worker.ended()
        assert end["outcome"] == "completed"
        assert "run 3 of 5" in end["reason"]
        assert [merge["index"] for merge in worker.of("merge")] == [1, 2, 3]
        assert end["checkpoint"].endswith("step-000003")
        assert merger_of(worker, checkpoint_dir(worker.run, end)).runs == 3

    def test_a_stop_ends_a_cool_down(self, home):
        with WorkerThread(new_run(multi="windows", runs=2, steps=1, cool_down=3600)) as worker:
            assert (
                "before run 2"
                in worker.wait_for("state", reason="Cooling down for 3600 s before run 2 of 2.")["reason"]
            )
            assert worker.obeyed("stop")["ok"]
            end = worker.ended()
        assert (end["outcome"], end["step"]) == ("stopped", 1)

    def test_a_pause_ends_a_cool_down_and_holds_the_next_run(self, home):
        with WorkerThread(new_run(multi="windows", runs=2, steps=1, cool_down=3600)) as worker:
            worker.wait_for("state", reason="Cooling down for 3600 s before run 2 of 2.")
            assert worker.obeyed("pause")["ok"]
            assert not worker.of("step", step=2)
            worker.command("resume")
            assert worker.ended()["outcome"] == "completed"

    def test_too_few_rows_are_an_error_before_any_weights_move(self, home):
        worker = train(multi="windows", runs=5, run_rows=400)
        assert worker.of("fault")[0]["code"] == "MULTI_TOO_FEW_ROWS"
        assert not worker.of("phase", phase="load", detail="weights")

    @pytest.mark.parametrize(
        "settings",
        [
            {"method": "full"},
            {"early_stopping": 2},
            {"eval_split": 0.0, "gate": "eval"},
            {"eval_split": 0.0, "patience": 1},
            {"adapter_start": "pissa"},
            {"objective": "dpo"},
            {"lr_last": 1e-5, "lr_across": "constant"},
        ],
    )
    def test_settings_that_do_not_go_together_are_refused(self, settings):
        with pytest.raises(UsageError):
            quick_spec(multi="windows", **settings)

    @pytest.mark.parametrize("strategy", ["sequential", "linear", "ties", "dare", "random-init", "from-merged"])
    def test_every_other_strategy_trains_and_delivers(self, strategy, home):
        worker = train(multi="windows", runs=2, steps=1, merge=strategy)
        assert worker.ended()["outcome"] == "completed", worker.ended()
        assert [merge["strategy"] for merge in worker.of("merge")] == [strategy] * 2
        assert delivered(worker)
