"""The questions of the Tune screen: which model, which choice, what a preset is to be called, and whether to launch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from backprop_tui.app.draft_presets import DEMO, check_preset_name
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.widgets.modal import Choice, ConfirmModal, PromptModal
from backprop_tui.protocol.errors import BackpropError, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.app.screens.room import Room
    from backprop_tui.protocol.fields import Setting
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.store.layout import RunDir

Answered = Callable[[str], None]
#: Models offered besides typing one.
_OFFERED = 10
_TYPE_IT = "\0type"


def ask_model(room: Room, now: str, answered: Answered) -> None:
    """Offer the demo, the models used lately, and typing one; folders come back as absolute paths."""

    def work(cancelled: Cancelled) -> list[str]:
        from backprop_tui.config.recent import recent

        return recent("model")

    def offer(known: list[str]) -> None:
        bases = list(dict.fromkeys([DEMO, now, *known]))
        choices = [
            Choice(base, "demo, the bundled tiny model" if base == DEMO else safe_text(base, limit=200))
            for base in bases[:_OFFERED]
        ]
        choices.append(Choice(_TYPE_IT, "type a folder or a hub id…", "t"))
        body = Content("A folder with config.json, tokenizer and safetensors, or a hub id such as Qwen/Qwen3-0.6B.")
        room.app.push_screen(ConfirmModal(Content("Base model"), body, choices, now, cancel="Leave it"), take)

    def take(answer: str | None) -> None:
        if answer == _TYPE_IT:
            prompt = PromptModal(
                Content("Base model"),
                Content("A folder on this machine, or a hub id."),
                value="" if now == DEMO else now,
                placeholder="~/models/llama  or  Qwen/Qwen3-0.6B",
                check=lambda text: None if text else "Type a folder or a hub id, or press Esc.",
            )
            room.app.push_screen(prompt, take)
        elif answer is not None:
            place = os.path.expanduser(answer)
            answered(os.path.abspath(place) if answer != DEMO and os.path.isdir(place) else answer)

    in_thread(room, work, offer, lambda error: room.say(str(error), "bad"), group="tune-recent")


def ask_choice(room: Room, setting: Setting, now: str, answered: Answered) -> None:
    """Offer the choices of a setting."""
    modal = ConfirmModal(
        Content(setting.title),
        Content(setting.help),
        [Choice(choice, choice) for choice in setting.choices],
        now,
        cancel="Leave it",
    )
    room.app.push_screen(modal, _unless_left(answered))


def ask_preset_name(room: Room, answered: Answered) -> None:
    """Ask what a preset of the person's is to be called."""

    def check(name: str) -> str | None:
        try:
            check_preset_name(name)
        except UsageError as error:
            return f"{error.cause} {error.next_step}"
        return None

    body = Content("The settings without name, data and model. They appear in the list under this name.")
    modal = PromptModal(Content("Save as a preset"), body, placeholder="support-bot", check=check)
    room.app.push_screen(modal, _unless_left(answered))


def ask_launch(room: Room, body: Content, go: Callable[[], None]) -> ConfirmModal:
    """Show exactly what would be started; `go` when it is wanted. Returns the question, which can be told more."""
    modal = ConfirmModal(
        Content("Launch this run"), body, [Choice("launch", "Launch", "g")], "launch", cancel="Back to the settings"
    )
    room.app.push_screen(modal, _unless_left(lambda _: go()))
    return modal


def say_refused(room: Room, error: BackpropError) -> None:
    """Why nothing was started, and what to do; the settings stay as they are."""
    words = [safe_text(error.cause, limit=1000), safe_text(error.next_step, limit=1000)]
    words.append(f"({safe_text(error.code)}) Your settings are as they were.")
    body = Content("\n\n".join(word for word in words if word))
    room.app.push_screen(ConfirmModal(Content("Not started"), body, [], cancel="Back to the settings"))


def start(
    room: Room, spec: RunSpec, started: Callable[[RunDir], object], refused: Callable[[BackpropError], object]
) -> None:
    """Start the run in a thread and remember its data and model."""

    def work(cancelled: Cancelled) -> RunDir:
        from backprop_tui.config.recent import remember
        from backprop_tui.launch.start import start_run

        run = start_run(spec)
        if spec.data.path != DEMO:
            # The run's own words: paths in full, a dataset of the hub by its commit.
            remember("data", str(run.read_spec()["data"]["path"]))
        if spec.model.base != DEMO:
            remember("model", spec.model.base)
        return run

    in_thread(room, work, started, refused, group="tune-launch")


def enqueue(room: Room, spec: RunSpec, refused: Callable[[BackpropError], object]) -> None:
    """Check the run in a thread and put it into the queue; its place is told in the footer."""

    def work(cancelled: Cancelled) -> tuple[str, int | None]:
        from backprop_tui.launch.queueing import enqueue as put
        from backprop_tui.launch.queueing import ensure_runner
        from backprop_tui.store.queue import Queue, place_of

        queue = Queue()
        entry = put(spec, queue=queue)
        if queue.held() is None:
            ensure_runner(queue)
        now = queue.get(entry.id)
        return entry.name, None if now is None else place_of(queue.entries(), now)

    def done(found: tuple[str, int | None]) -> None:
        name, place = found
        where = f"is number {place} in the queue" if place is not None else "begins now"
        room.backprop.say(f"{name} {where}.  4 shows and changes the order.", "good")

    in_thread(room, work, done, refused, group="tune-queue")


def _unless_left(answered: Answered) -> Callable[[str | None], None]:
    """A callback for a dialog that may be left without an answer."""

    def take(answer: str | None) -> None:
        if answer is not None:
            answered(answer)

    return take
