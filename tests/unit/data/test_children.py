"""Templates run in child processes under limits; what they answer is what this process would have found."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.data.children import wire
from backprop_tui.data.children.__main__ import Server
from backprop_tui.data.children.crew import Crew
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.formats import Conversation, Message, Normalised, PlainText, Preference, PromptOnly, Unpaired
from backprop_tui.data.looking.part import How
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.data.rendering.encoded import EncodedRow
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError, UnavailableError
from tests.support.models import CHATML, make_model

ASK, SAY = Message("user", "What is it?"), Message("assistant", "It is this.")
ROW = Conversation((ASK, SAY))
ROWS: list[Normalised] = [
    ROW,
    Conversation((ASK, SAY, Message("user", "And <|im_end|> that?"), Message("assistant", "That. " * 30))),
    PlainText("Some words."),
    Preference((ASK,), (SAY,), (Message("assistant", "No."),)),
    Unpaired((ASK,), (SAY,), True),
    PromptOnly((ASK,), {"answer": 10**30}),
    Conversation((Message("user", "long " * 300), SAY)),
]


def hostile(place: Path, body: str) -> Path:
    """A model whose template does something awful once a row says `attack`, and is ordinary otherwise."""
    template = "{% if messages[0]['content'] == 'attack' %}" + body + "{% endif %}" + CHATML
    return make_model(place, template)


ATTACK = Conversation((Message("user", "attack"), SAY))


def test_children_find_what_this_process_finds() -> None:
    here = ChatTokenizer.load(demo_model_dir())
    pairs = list(enumerate(ROWS))
    with RemoteTokenizer(demo_model_dir(), size=2) as remote:
        assert (remote.stop_ids, remote.closes_answers, remote.has_template) == (
            here.stop_ids, here.closes_answers, here.has_template,
        )  # fmt: skip
        assert remote.template_source == here.template_source
        remote.check()
        for mine, theirs in zip(
            here.encode_many(pairs, max_length=64, train_on="answers"),
            remote.encode_many(pairs, max_length=64, train_on="answers"),
            strict=True,
        ):
            if isinstance(mine, EncodedRow):
                assert isinstance(theirs, EncodedRow)
                assert (mine.ids, mine.trained, mine.cut, mine.text_spans, mine.index) == (
                    theirs.ids, theirs.trained, theirs.cut, theirs.text_spans, theirs.index,
                )  # fmt: skip
            else:
                assert isinstance(mine, RowRejected)
                assert isinstance(theirs, RowRejected)
                assert (mine.code, mine.reason, mine.cause) == (theirs.code, theirs.reason, theirs.cause)
        measures = remote.measure_many(ROWS, max_length=64, train_on="answers")
        expected = here.measure_many(ROWS, max_length=64, train_on="answers")
        assert [m if not isinstance(m, DataError) else m.code for m in measures] == [
            m if not isinstance(m, DataError) else m.code for m in expected
        ]
        assert remote.explain(ROW, max_length=None).pieces == here.explain(ROW, max_length=None).pieces
        assert remote.encode_prompt(ROW.messages[:1]) == here.encode_prompt(ROW.messages[:1])


def test_measures_agree_with_the_rows_that_are_trained() -> None:
    tokenizer = ChatTokenizer.load(demo_model_dir())
    rows = [row for row in ROWS if isinstance(row, Conversation | PlainText)]
    encoded = tokenizer.encode_many(list(enumerate(rows)), max_length=64, train_on="answers")
    for row, measure in zip(encoded, tokenizer.measure_many(rows, max_length=64, train_on="answers"), strict=True):
        if isinstance(row, EncodedRow):
            assert not isinstance(measure, DataError)
            assert (measure.tokens, measure.trained, measure.cut) == (len(row), row.trained_tokens, row.cut)
        else:
            assert isinstance(measure, DataError)
            assert measure.code == row.code


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", {"CHAT_TEMPLATE_HANGS"}),
        ("{{ (messages | length) ** (9 ** 10) }}", {"CHAT_TEMPLATE_HANGS"}),
        ("{{ 'a' * 10 ** 10 }}", {"CHAT_TEMPLATE_TOO_LARGE"}),
        ("{{ 'a' * 10 ** 8 }}", {"CHAT_TEMPLATE_TOO_LARGE"}),
    ],
    ids=["loops", "power", "memory", "text"],
)
def test_a_hostile_template_ends_in_one_line(tmp_path: Path, body: str, codes: set[str]) -> None:
    with RemoteTokenizer(hostile(tmp_path / "m", body)) as remote:
        assert isinstance(remote.encode_many([(0, ROW)], max_length=None, train_on="answers")[0], EncodedRow)
        with pytest.raises(DataError) as caught:
            remote.encode_many([(0, ATTACK)], max_length=None, train_on="answers")
        assert caught.value.code in codes
        # The next question is answered as if nothing had happened.
        assert isinstance(remote.encode_many([(0, ROW)], max_length=None, train_on="answers")[0], EncodedRow)


def test_a_template_that_hangs_while_it_is_compiled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        RemoteTokenizer(make_model(tmp_path / "m", "{{ 9 ** (9 ** 10) }}" + CHATML))
    assert caught.value.code == "CHAT_TEMPLATE_HANGS"


def test_a_child_that_dies_is_named_and_replaced() -> None:
    with RemoteTokenizer(demo_model_dir()) as remote:
        before = remote.encode_prompt((ASK,))
        for child in remote.crew.processes():
            os.kill(child, signal.SIGKILL)
        with pytest.raises(UnavailableError) as caught:
            remote.encode_prompt((ASK,))
        assert caught.value.code == "READER_DIED"
        assert remote.encode_prompt((ASK,)) == before


def test_children_are_gone_with_their_crew() -> None:
    remote = RemoteTokenizer(demo_model_dir(), size=2)
    (child,) = remote.crew.processes()
    remote.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_children_see_no_tokens_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    with RemoteTokenizer(demo_model_dir()) as remote:
        (child,) = remote.crew.processes()
        assert b"canary" not in Path(f"/proc/{child}/environ").read_bytes()


def test_a_broken_tokenizer_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    place = make_model(tmp_path / "m")
    (place / "tokenizer.json").write_text("{")
    with pytest.raises(DataError) as caught:
        RemoteTokenizer(place)
    assert caught.value.code == "MODEL_TOKENIZER_BROKEN"


def test_answers_come_in_order_and_stop_when_nobody_wants_them(tmp_path: Path) -> None:
    files = []
    for number in range(6):
        file = tmp_path / f"{number}.jsonl"
        file.write_text((json.dumps({"text": f"words {number}"}) + "\n") * (number + 1))
        files.append(wire.Look(os.fsencode(file), 0, file.stat().st_size, How(), False))
    with Crew(3) as crew:
        replies = [reply for reply in crew.map(files) if isinstance(reply, wire.Looked)]
        assert [reply.part.rows for reply in replies] == [1, 2, 3, 4, 5, 6]
    with Crew(1) as crew:
        assert list(crew.map(files, lambda: True)) == [None]


def test_a_child_that_was_given_no_model_says_so() -> None:
    with pytest.raises(DataError, match="MODEL_NOT_LOADED"):
        Server().answer(wire.Check())
