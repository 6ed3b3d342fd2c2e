"""What is settled before torch is imported, and the import: which GPU is seen, and which libraries stay out.

Libraries bring each other along wherever they are installed. PEFT and transformers import bitsandbytes when it is there, and it
brings half of torch's compiler: 0.6 s before the first step, for a run that has neither quantised weights nor one of its
optimisers. Python's collector takes as long again while they are imported.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

from backprop_tui.data.models import resolve_model
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.logs import quieten_libraries
from backprop_tui.engine.worker.objectives import find_objective
from backprop_tui.launch.variants import OPTIMIZER_PACKAGES
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from backprop_tui.engine.worker.channel import Phase
    from backprop_tui.protocol.spec import RunSpec

_BNB = "bitsandbytes"


def leave_out(spec: RunSpec) -> None:
    """Make what the run doesn't need look absent, for this process and for good: only where nothing else will run in it."""
    unneeded = {_BNB: not _needs_bitsandbytes(spec), "deepspeed": spec.devices.parallel != "zero2"}
    for name, spared in unneeded.items():
        if spared and name not in sys.modules:
            # Documented way to say so: `import` raises ModuleNotFoundError, `find_spec` finds nothing.
            sys.modules[name] = None  # type: ignore[assignment]


def _needs_bitsandbytes(spec: RunSpec) -> bool:
    if spec.model.method == "qlora" or OPTIMIZER_PACKAGES.get(spec.optim.optimizer) == _BNB:
        return True
    try:
        place = resolve_model(spec.model.base, spec.model.revision, need_template=False)
        # Weights that were saved quantised say so; of a model that is still to be fetched nobody knows.
        return place is None or "quantization_config" in json.loads((place / "config.json").read_text(encoding="utf-8"))
    except (BackpropError, OSError, ValueError):
        # What is wrong with it is told by what loads it.
        return True


def see_one_gpu(environment: MutableMapping[str, str], spec: RunSpec) -> None:
    """Leave one GPU visible, or none for a CPU run; only works before torch is imported.

    With several in sight the trainer would wrap the model in DataParallel, which TRL refuses. Of several processes each has
    its own by its number.
    """
    if spec.model.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
        environment["DS_ACCELERATOR"] = "cpu"
        return
    if not world().alone:
        return
    seen = environment.get("CUDA_VISIBLE_DEVICES")
    environment["CUDA_VISIBLE_DEVICES"] = "0" if seen is None else seen.split(",")[0].strip()


@contextlib.contextmanager
def uncollected(*, for_good: bool) -> Iterator[None]:
    """Keep Python's collector of cycles still for an import: what an import makes stays, and it looks through all of it again and
    again, which takes a fifth of the time.

    Args:
        for_good: what is there at the end is never looked through again either; only where nothing else will run in the process.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if for_good:
            gc.freeze()
        if was_on:
            gc.enable()


def import_libraries(phase: Phase, objective: str, *, own_process: bool) -> None:
    """Import the heavy libraries one by one, so that people see why it takes seconds.

    Args:
        phase: told which one it is.
        objective: what the run learns from; it says what of TRL is needed.
        own_process: whether nothing else will run in this process, now or later.

    Raises:
        UsageError: OBJECTIVE_UNKNOWN.
    """
    with uncollected(for_good=own_process):
        phase.progress(0, 3, "libraries", "importing torch")
        import torch  # noqa: F401

        phase.progress(1, 3, "libraries", "importing transformers")
        import transformers  # noqa: F401

        quieten_libraries()
        phase.progress(2, 3, "libraries", "importing trl and peft")
        import backprop_tui.engine.worker.assembly  # noqa: F401

        find_objective(objective)
        phase.progress(3, 3, "libraries", "model files")
