"""Answers generated from prompts, in batches: the likeliest ones, which take no random numbers, or drawn ones."""

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
    for start in range(0, len(prompts), _TOGETHER):
        if stopped():
            return
        batch = prompts[start : start + _TOGETHER]
        answers = generate_ids(
            model,
            batch,
            pad_id=tokenizer.pad_token_id,
            most_tokens=most_tokens,
            stop_ids=stop_ids,
            autocast=autocast,
        )
        for ids in answers:
            yield answer_text(tokenizer, ids, stop_ids)


def generate_ids(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    pad_id: int,
    most_tokens: int,
    stop_ids: Sequence[int],
    autocast: torch.dtype | None,
    temperature: float | None = None,
) -> list[list[int]]:
    """Answer all prompts (token ids) at once.

    Args:
        model: a causal language model in evaluation mode.
        prompts: not empty.
        pad_id: fills shorter prompts up.
        most_tokens: where an answer is cut.
        stop_ids: tokens that end an answer.
        autocast: number format of products, None for that of the weights.
        temperature: how freely tokens are drawn, with PyTorch's global generator; None takes the likeliest.

    Returns:
        Ids of each answer up to and with its stop token; one that was cut has none.
    """
    device = model.device
    drawn = {} if temperature is None else {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(
        do_sample=temperature is not None,
        max_new_tokens=most_tokens,
        eos_token_id=list(stop_ids) or None,
        pad_token_id=pad_id,
        use_cache=True,
        **drawn,
    )
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for line, prompt in enumerate(prompts):
        # On the left, so that every answer begins at the same column.
        ids[line, longest - len(prompt) :] = torch.tensor(prompt)
        mask[line, longest - len(prompt) :] = 1
    with torch.no_grad(), _maths(device, autocast):
        output = model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=config)
    return [_with_stop(line, stop_ids) for line in output[:, longest:].tolist()]


def answer_text(tokenizer: Any, ids: Sequence[int], stop_ids: Sequence[int]) -> str:
    """What an answer says, without its stop token and other special ones."""
    said = ids[:-1] if ids and ids[-1] in stop_ids else ids
    text: str = tokenizer.decode(said, skip_special_tokens=True)
    return text


def _with_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), None)
    return ids if end is None else ids[: end + 1]


def _maths(device: torch.device, autocast: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    if autocast is None:
        return contextlib.nullcontext()
    manager: contextlib.AbstractContextManager[Any] = torch.autocast(device.type, dtype=autocast)
    return manager
