"""Chat templates rendered as transformers renders them, in a sandbox, without importing transformers.

The reference is `PreTrainedTokenizerBase.apply_chat_template`; `tests/contract/test_chat_template.py` compares both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from backprop_tui.data.formats.conversation import Message
from backprop_tui.data.rendering import limits
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_MAX_CONFIG = 64 << 20


class ChatTemplate:
    """A compiled template and the special tokens it may name.

    Args:
        source: the Jinja text.
        special_tokens: `bos_token`, `eos_token`… by name; absent ones render as nothing.

    Raises:
        DataError: CHAT_TEMPLATE_BROKEN, the source is not valid Jinja.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self._tokens = dict(special_tokens)
        try:
            self._template = _environment().from_string(source)
        except Exception as error:
            raise DataError(
                "CHAT_TEMPLATE_BROKEN",
                f"The model's chat template can't be compiled: {safe_text(error, limit=200)}.",
                "Get a fresh copy of the model's chat_template.jinja.",
            ) from None

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The conversation as the model reads it.

        Raises:
            DataError: CHAT_TEMPLATE_REFUSED, the template raised (its own words are in the cause); CHAT_TEMPLATE_HANGS or
                CHAT_TEMPLATE_TOO_LARGE, it passed a limit.
        """
        turns = [
            _full_turn(message)
            if message.tool_calls or message.reasoning or message.role == "tool"
            else {"role": message.role, "content": message.content}
            for message in messages
        ]
        try:
            with limits.render_time:
                text = self._template.render(
                    messages=turns,
                    tools=list(tools) or None,
                    documents=None,
                    add_generation_prompt=add_generation_prompt,
                    **self._tokens,
                )
        except limits.TooSlow:
            raise limits.hangs() from None
        except MemoryError:
            raise limits.too_large() from None
        except Exception as error:
            raise DataError(
                "CHAT_TEMPLATE_REFUSED",
                f"The chat template refuses the row: {safe_text(error, limit=200)}.",
                "Change the roles of the row, or choose a model whose template takes them.",
            ) from None
        if len(text) > limits.MOST_TEXT:
            raise limits.too_large()
        return text


def _full_turn(message: Message) -> dict[str, Any]:
    """A turn with everything it has, under the names templates look for."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        # Qwen and DeepSeek read the first, gpt-oss the second.
        turn |= {"reasoning_content": message.reasoning, "thinking": message.reasoning}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        turn |= {key: value for key in ("name", "tool_call_id") if (value := getattr(message, key))}
    return turn


def find_template(model_dir: Path) -> str | None:
    """The Jinja source a model directory carries: chat_template.jinja, else tokenizer_config.json; None without one.

    Raises:
        DataError: a file is there but can't be read.
    """
    own = model_dir / "chat_template.jinja"
    if own.is_file():
        try:
            return own.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise DataError(
                "CHAT_TEMPLATE_BROKEN", f"{safe_text(own)} can't be read as UTF-8.", "Get a fresh copy of the model."
            ) from None
    template = read_config(model_dir, "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) and template else None


def find_special_tokens(model_dir: Path) -> dict[str, str]:
    """Special tokens by name (`eos_token` …), from special_tokens_map.json and, winning over it, tokenizer_config.json.

    Raises:
        DataError: a file is there but can't be read.
    """
    found: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        config = read_config(model_dir, file)
        for name in _NAMED_TOKENS:
            token = config.get(name)
            content = token.get("content") if isinstance(token, dict) else token
            if isinstance(content, str) and content:
                found[name] = content
    return found


def read_config(model_dir: Path, name: str) -> dict[str, Any]:
    """A JSON object of a model directory; empty when there is no such file.

    Raises:
        DataError: MODEL_CONFIG_BROKEN, the file is too large, not JSON, or not an object.
    """
    file = model_dir / name
    try:
        if not file.is_file():
            return {}
        if file.stat().st_size > _MAX_CONFIG:
            raise ValueError("too large")
        words = json.loads(file.read_bytes())
        if not isinstance(words, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError):
        raise DataError(
            "MODEL_CONFIG_BROKEN", f"{safe_text(file)} is not a JSON object.", "Get a fresh copy of the model."
        ) from None
    return words


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class GenerationTag(Extension):
        """`{% generation %}…{% endgeneration %}` renders its body; the answer's place is found without it."""

        tags = {"generation"}  # noqa: RUF012  (the base class declares it this way)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class PlainNamespace(Namespace):
        """A namespace without underscore names, so a template can't reach Python's internals through it."""

        def __setitem__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                raise SecurityError(f"the name {name!r} is not allowed")
            super().__setitem__(name, value)

    def make_namespace(*args: Any, **names: Any) -> PlainNamespace:
        space = PlainNamespace()
        for name, value in dict(*args, **names).items():
            space[name] = value
        return space

    def to_json(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:  # fmt: skip  # noqa: E501
        # Jinja's own filter escapes <, > and & for HTML, which would change what the model reads.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    environment.globals["namespace"] = make_namespace
    return environment
