"""Answers generated from held-out prompts: greedy, in batches, without touching the training's random numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

#: Prompts generated together; keys and values of this many must fit beside the training state.
_TOGETHER = 16


def generate_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    most_tokens: int,
    stop_ids: Sequence[int],
    autocast: torch.dtype | None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """Answer each prompt (token ids) with the likeliest tokens; ends early once `stopped()`.

    Yields:
        The text after the prompt up to a stop token, special tokens left out, in the order of the prompts.
    """
    device = model.device
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=most_tokens,
        eos_token_id=list(stop_ids) or None,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )
    for start in range(0, len(prompts), _TOGETHER):
        if stopped():
            return
        batch = prompts[start : start + _TOGETHER]
        longest = max(len(prompt) for prompt in batch)
        ids = torch.full((len(batch), longest), tokenizer.pad_token_id)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for line, prompt in enumerate(batch):
            # On the left, so that every answer begins at the same column.
            ids[line, longest - len(prompt) :] = torch.tensor(prompt)
            mask[line, longest - len(prompt) :] = 1
        with torch.no_grad(), _maths(device, autocast):
            output = model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=config)
        for line in output[:, longest:].tolist():
            yield tokenizer.decode(_until_stop(line, stop_ids), skip_special_tokens=True)


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    ends = [place for place, token in enumerate(ids) if token in stop_ids]
    return ids[: ends[0]] if ends else ids


def _maths(device: torch.device, autocast: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    if autocast is None:
        return contextlib.nullcontext()
    manager: contextlib.AbstractContextManager[Any] = torch.autocast(device.type, dtype=autocast)
    return manager
