"""The run being prepared: which data, which model, which preset, and what differs from it. Nothing typed is ever lost.

The Data screen fills in the data, the Tune screen the rest; `spec()` is what a launch would be given. pydantic is
imported only when a spec is asked for, so the first screen paints without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.app.draft_choice import Choice, choice_of
from backprop_tui.app.draft_presets import DEMO, write_preset
from backprop_tui.app.scans import Reading, Scans
from backprop_tui.config import paths
from backprop_tui.protocol.errors import UsageError

if TYPE_CHECKING:
    from backprop_tui.config.advice import Sizes
    from backprop_tui.protocol.fields import Setting
    from backprop_tui.protocol.spec import DataPart, RunSpec

#: Settings that belong to one run, not to a preset.
_NOT_IN_PRESETS = frozenset({"name", "path", "eval_path", "columns", "base", "revision"})
_UNDO_DEPTH = 200


class Draft:
    """Choices made so far, with undo. `data` and `model` None mean what the preset or the spec's default says."""

    def __init__(self, *, data: str | None = None, model: str | None = None, preset: str = "balanced") -> None:
        self._now = Choice(data, model, preset)
        self._past: list[Choice] = []
        self._built: tuple[Choice, RunSpec] | None = None
        self._recalled: Choice | None = None
        self._sizes: tuple[str, str, Sizes] | None = None
        self.scans = Scans()

    def begin(self, *, model: str, preset: str) -> None:
        """Take the person's usual model and preset, unless something has been chosen already."""
        if not self._past and self._now == Choice(data=self._now.data):
            self._now = replace(self._now, model=None if model == DEMO else model, preset=preset)

    def remember(self) -> dict[str, Any]:
        """The choices as JSON-ready words; empty when nothing was ever chosen."""
        return self._now.to_words() if self._past or self._recalled is not None else {}

    def recall(self, words: Mapping[str, Any]) -> None:
        """Take remembered choices back; what does not fit is dropped when it is used."""
        if words:
            self._now = self._recalled = choice_of(words, self.preset)

    @property
    def data(self) -> str:
        """The data in a person's words: `demo`, a file, a folder, a mixture."""
        return self._now.data if self._now.data is not None else DEMO

    @property
    def data_chosen(self) -> bool:
        """Whether a person picked the data."""
        return self._now.data is not None

    @property
    def model(self) -> str:
        """Base model: directory, hub id or `demo`."""
        return self._now.model if self._now.model is not None else DEMO

    @property
    def preset(self) -> str:
        """Name of the preset the settings start from."""
        return self._now.preset

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Settings that differ from the preset, by key."""
        return self._now.overrides

    def base(self) -> RunSpec:
        """The preset with this data and model, without the changes.

        Raises:
            UsageError: the preset is unknown or its file can't be used.
        """
        return self._build(replace(self._now, overrides={}))

    def spec(self) -> RunSpec:
        """What would be launched.

        Raises:
            UsageError: the preset is unknown or a value is out of bounds.
        """
        if self._built is None or self._built[0] != self._now:
            try:
                built = self._build(self._now)
            except UsageError:
                if self._now is not self._recalled:
                    raise
                # Another version wrote these, or the preset is gone: data and model are kept, the settings start anew.
                self._now = Choice(self._now.data, self._now.model, mappings=self._now.mappings)
                built = self._build(self._now)
            self._built = (self._now, built)
        return self._built[1]

    def reading(self, words: str | None = None) -> Reading:
        """How the chosen model would read a dataset's rows; as the demo model does while the choices don't fit together.

        Args:
            words: the dataset, whose own mapping of columns is used; None means the chosen one.
        """
        columns = self.columns_of(self.data if words is None else words)
        try:
            spec = self.spec()
        except UsageError:
            return Reading(DEMO, columns=columns)
        data = spec.data
        return Reading(
            self.model, data.max_length, data.train_on, data.format, columns, data.damaged, spec.optim.batch_size
        )

    def part(self, words: str | None = None) -> DataPart:
        """The data settings as they would be for a dataset; None means the chosen one.

        Raises:
            UsageError: the preset is unknown or a value is out of bounds.
        """
        part = self.spec().data
        if words is None or words == self.data:
            return part
        return part.model_copy(update={"path": words, "columns": self.columns_of(words)})

    def columns_of(self, words: str) -> str:
        """Which column is what in a dataset, as it was said; empty goes by the columns' names."""
        if words == self.data:
            return self._now.columns
        return self._now.mappings.get(words, "")

    @property
    def mappings(self) -> Mapping[str, str]:
        """Every mapping of columns there is, by its dataset."""
        every = {**self._now.mappings, self.data: self.columns_of(self.data)}
        return {words: columns for words, columns in every.items() if columns}

    def map_columns(self, words: str, columns: str) -> None:
        """Say which column is what in a dataset; empty goes by the columns' names. It is used while that data is.

        Raises:
            UsageError: the settings don't fit together.
        """
        wanted = replace(self._now, mappings={**self._now.mappings, words: columns})
        if words == self.data:
            self._try(wanted.with_columns(columns))
        else:
            self._change(wanted)

    def learn(self, sizes: Sizes) -> bool:
        """Note what is known of the model and the rows; what the preset leaves to advice follows it while they are chosen.

        Returns:
            Whether that changed anything.
        """
        before, known = self.spec(), (self.model, self.data, sizes)
        if known == self._sizes:
            return False
        self._sizes = known
        built = self._build(self._now)
        if built == before:
            return False
        self._built = (self._now, built)
        return True

    def differences(self) -> list[tuple[Setting, Any, Any]]:
        """Changed settings that count, as (setting, preset's value, value now); data and model are choices, not changes."""
        from backprop_tui.protocol.effects import applies
        from backprop_tui.protocol.fields import differences

        spec = self.spec()
        return [change for change in differences(spec, self.base()) if applies(change[0], spec)]

    def use_data(self, words: str) -> None:
        """Train on this data (`demo`, a file, a folder, a mixture), with the mapping of columns that was made for it."""
        same = words == self.data
        self._change(replace(self._now, data=words) if same else self._now.with_data(words, self.data))

    def use_model(self, base: str) -> None:
        """Start from this model: directory, hub id or `demo`."""
        self._change(replace(self._now, model=base))

    def use_preset(self, name: str) -> None:
        """Start from another preset; changes of the person's stay.

        Raises:
            UsageError: unknown preset, unusable file, or the changes don't fit it.
        """
        self._try(replace(self._now, preset=name))

    def set(self, key: str, value: Any) -> None:
        """Change one setting; text is parsed as in `--set`. Setting the preset's value takes the change back.

        Raises:
            UsageError: unknown setting or a value that does not fit; nothing changes then.
        """
        from backprop_tui.protocol.fields import find_setting

        setting = find_setting(key)
        if setting.key == "path":
            self.use_data(str(value).strip() or DEMO)
            return
        if setting.key == "base":
            self.use_model(str(value).strip() or DEMO)
            return
        wanted = replace(self._now, overrides={**self._now.overrides, setting.key: value})
        spec = self._build(wanted)
        value = setting.get(spec)
        kept = {name: other for name, other in self._now.overrides.items() if name != setting.key}
        if value != setting.get(self._build(replace(self._now, overrides=kept))):
            kept[setting.key] = value
        self._try(replace(self._now, overrides=kept))

    def set_all(self, changes: Mapping[str, Any]) -> None:
        """Change several settings at once; one `undo` takes all of them back.

        Raises:
            UsageError: a value does not fit; nothing changes then.
        """
        now, past = self._now, [*self._past]
        try:
            for key, value in changes.items():
                self.set(key, value)
        except UsageError:
            self._now, self._past = now, past
            raise
        if self._now != now:
            self._past = [*past, now][-_UNDO_DEPTH:]

    def adjust(self, key: str, direction: int) -> None:
        """One rung up (1) or down (-1) for a setting.

        Raises:
            UsageError: the result does not fit together with the other settings.
        """
        from backprop_tui.app.ladder import adjust
        from backprop_tui.protocol.fields import find_setting

        setting = find_setting(key)
        value = setting.get(self.spec())
        following = adjust(setting, value, direction)
        if following != value:
            self.set(key, following)

    def undo(self) -> bool:
        """Take the last change back; False when there is none."""
        if not self._past:
            return False
        self._now = self._past.pop()
        return True

    def reset(self) -> None:
        """Back to the preset (undo brings the changes back)."""
        self._change(replace(self._now, overrides={}))

    def to_toml(self, *, title: str = "", shareable: bool = False) -> str:
        """The settings as a preset file; `shareable` leaves out what belongs to one run (name, data, model)."""
        from backprop_tui.app.preset_words import preset_toml
        from backprop_tui.config.presets import find_preset

        advised: list[str] = []
        if shareable:
            advised = [key for key in find_preset(self.preset).advised if key not in self.overrides]
        left_out = _NOT_IN_PRESETS if shareable else frozenset()
        return preset_toml(self.spec(), title, self.preset, left_out, advised)

    def save_preset(self, name: str) -> Path:
        """Write the settings as a preset of the person's and start from it.

        Raises:
            UsageError: the name will not do or is taken.
            UnavailableError: the file can't be written.
        """
        file = write_preset(name, self.to_toml(title=name, shareable=True))
        own = {key: value for key, value in self._now.overrides.items() if key in _NOT_IN_PRESETS}
        self._change(replace(self._now, preset=name, overrides=own))
        return file

    def _try(self, wanted: Choice) -> None:
        self._built = (wanted, self._build(wanted))
        self._change(wanted)

    def _change(self, wanted: Choice) -> None:
        if wanted != self._now:
            self._past.append(self._now)
            del self._past[:-_UNDO_DEPTH]
            self._now = wanted

    def _build(self, wanted: Choice) -> RunSpec:
        from backprop_tui.config.presets import preset_spec

        own: dict[str, Any] = dict(wanted.overrides)
        if wanted.model is not None:
            own["base"] = wanted.model
        if wanted.data is not None:
            own["path"] = wanted.data
        known = self._sizes
        fits = known is not None and known[:2] == (wanted.model or DEMO, wanted.data or DEMO)
        sizes = known[2] if known is not None and fits else None
        return preset_spec(wanted.preset, _local_model(wanted.model or DEMO), own, sizes=sizes)


def _local_model(base: str) -> Path | None:
    """The model's directory if it needs no looking up; the advised learning rate follows its width."""
    if base == DEMO:
        return paths.demo_model_dir()
    place = Path(base).expanduser()
    return place if place.is_dir() else None
