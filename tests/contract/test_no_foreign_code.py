"""Nothing a model or a file brings along is ever run: no code of the model's own, no pickles, safetensors only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "backprop_tui").rglob("*.py"))
#: What must be said wherever it can be said, and modules that run what they read.
DEMANDED = {"trust_remote_code": False, "use_safetensors": True, "weights_only": True, "allow_pickle": False}
RUNS_WHAT_IT_READS = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def violations(tree: ast.AST) -> Iterator[str]:
    """What in a module could run something foreign."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {word.arg: word.value for word in node.keywords if word.arg}
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            source = ast.unparse(node.func)
            if name == "from_pretrained" and "Auto" in source and "Peft" not in source:
                for wanted in ("trust_remote_code",) + (("use_safetensors",) if "Model" in source else ()):
                    if wanted not in given:
                        yield f"line {node.lineno}: {wanted} is not said"
            if source == "torch.load" and "weights_only" not in given:
                yield f"line {node.lineno}: weights_only is not said"
            pairs = list(given.items())
        elif isinstance(node, ast.Dict):
            pairs = [
                (str(key.value), value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if bad := RUNS_WHAT_IT_READS & {name.split(".")[0] for name in names}:
                yield f"line {node.lineno}: {', '.join(bad)} runs what it reads"
            continue
        else:
            continue
        for name, value in pairs:
            if name in DEMANDED and not (isinstance(value, ast.Constant) and value.value is DEMANDED[name]):
                yield f"line {value.lineno}: {name} must be {DEMANDED[name]}"


def test_no_call_lets_anything_foreign_run() -> None:
    found = {
        str(path.relative_to(ROOT)): bad
        for path in SOURCES
        if (bad := list(violations(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "AutoTokenizer.from_pretrained(x)",
        "AutoTokenizer.from_pretrained(x, trust_remote_code=True)",
        "AutoModelForCausalLM.from_pretrained(x, trust_remote_code=False)",
        "AutoModelForCausalLM.from_pretrained(x, trust_remote_code=False, use_safetensors=False)",
        "SFTConfig(trust_remote_code=spec.trust)",
        "options = {'trust_remote_code': True}",
        "torch.load(x)",
        "import pickle",
        "from joblib import load",
    ],
)
def test_the_look_finds_what_it_looks_for(code: str) -> None:
    assert list(violations(ast.parse(code)))
