"""What was promised about sharing out is read back from the model as the libraries wrapped it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from backprop_tui.engine.worker.distributed_shards import check_sharing
from backprop_tui.protocol.errors import RunFailed
from tests.support.ranks import free_port

pytestmark = pytest.mark.train


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process group of one, over gloo: wrapping is the same for two."""
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}.items():
        monkeypatch.setitem(os.environ, name, value)
    dist.init_process_group("gloo", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_only_what_is_in_force_passes() -> None:
    plain = torch.nn.Linear(4, 4)
    wrapped = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4))
    shared = torch.nn.Linear(4, 4)
    torch.distributed.fsdp.fully_shard(shared, mesh=dist.init_device_mesh("cpu", (1,)))
    made = {"": plain, "ddp": wrapped, "fsdp2": shared}
    for promised in (*made, "zero2"):
        for found, model in made.items():
            if found == promised:
                check_sharing(model, promised)
                continue
            with pytest.raises(RunFailed) as told:
                check_sharing(model, promised)
            assert told.value.code == "SHARING_NOT_IN_FORCE"
