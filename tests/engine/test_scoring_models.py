"""Models and settings that scoring refuses, each in one line and with no process left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.launch.scoring import score_data
from backprop_tui.protocol.errors import BackpropError, UsageError
from tests.support.scoring import asked, by_hand, encoded, one_line, scorers, write

pytestmark = pytest.mark.train


class TestModels:
    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        return shutil.copytree(paths.demo_model_dir(), tmp_path / "model")

    def refused(self, mixed: str, place: Path | str, **options: Any) -> BackpropError:
        with pytest.raises(BackpropError) as raised:
            score_data(mixed, str(place), **options)
        assert one_line(raised.value)
        assert scorers() == []
        return raised.value

    def change(self, place: Path, **words: Any) -> None:
        file = place / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **words}))

    def test_an_unknown_kind(self, mixed, copy):
        self.change(copy, model_type="nobody-knows-it\x1b[31m")
        error = self.refused(mixed, copy)
        assert (error.code, error.exit_code) == ("MODEL_LOAD_FAILED", 65)
        assert "worker.log" not in str(error)

    def test_weights_of_another_shape(self, mixed, copy):
        self.change(copy, hidden_size=64)
        assert self.refused(mixed, copy).code == "MODEL_LOAD_FAILED"

    def test_weights_that_are_missing_are_not_made_up(self, mixed, copy):
        self.change(copy, num_hidden_layers=4)
        error = self.refused(mixed, copy)
        assert error.code == "MODEL_LOAD_FAILED"
        assert "lacks" in error.cause
        assert "layers.3." in error.cause

    def test_pickled_weights(self, mixed, copy):
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        assert self.refused(mixed, copy).code == "MODEL_NO_SAFETENSORS"

    def test_the_models_own_code_is_not_run(self, mixed, copy):
        run = copy / "was-run"
        (copy / "evil.py").write_text(f"from pathlib import Path\nPath({str(run)!r}).touch()\nclass Evil: pass\n")
        self.change(copy, model_type="evil", auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"})
        assert self.refused(mixed, copy).code == "MODEL_LOAD_FAILED"
        assert not run.exists()

    def test_one_that_is_not_on_this_machine(self, mixed):
        error = self.refused(mixed, "nobody/has-this")
        assert (error.code, error.exit_code) == ("MODEL_NOT_HERE", 2)

    def test_without_a_chat_template_everything_can_be_scored_and_answers_cannot(self, tmp_path, copy, model):
        (copy / "chat_template.jinja").unlink()
        data = write(tmp_path / "rows.jsonl", [asked("What is it?", "It is this."), asked("And that?", "That too.")])
        assert self.refused(data, copy).code == "MODEL_NO_CHAT_TEMPLATE"
        scores = score_data(data, str(copy), what="everything", device="cpu")
        text = write(tmp_path / "text.jsonl", [{"text": "What is it?\nIt is this."}, {"text": "And that?\nThat too."}])
        for score, row in zip(scores, encoded(text, "everything"), strict=True):
            assert score.nll == pytest.approx(by_hand(model, row), abs=1e-4)

    def test_rows_are_cut_at_the_models_context(self, tmp_path, copy, model):
        self.change(copy, max_position_embeddings=32)
        data = write(tmp_path / "rows.jsonl", [{"text": "It is this and that. " * 20}, {"text": "It is this."}])
        scores = score_data(data, str(copy))
        assert scores.cut_rows == 1
        assert next(score.tokens for score in scores) == 31

    def test_a_gpu_that_is_not_there(self, mixed):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is one")
        error = self.refused(mixed, "demo", device="cuda")
        assert (error.code, error.exit_code) == ("GPU_UNAVAILABLE", 69)

    @pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_length": 1}], ids=str)
    def test_settings_that_make_no_sense(self, mixed, options):
        with pytest.raises(UsageError) as raised:
            score_data(mixed, "demo", **options)
        assert raised.value.code == "SCORING_INVALID"
