"""Which rows, and what of them is learnt."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

DataFormat = Literal[
    "auto", "messages", "sharegpt", "alpaca", "prompt-completion", "question-answer", "chatml", "text", "columns",
    "preference", "unpaired", "prompt",
]  # fmt: skip
TrainOn = Literal["answers", "everything"]
Duplicates = Literal["keep", "exact", "near"]
RowOrder = Literal["shuffled", "file", "curriculum"]


class DataPart(Part):
    """Which rows, and what of them is learnt."""

    path: str = setting(
        "demo",
        "data",
        "file, folder, glob or hub id; several joined by ` + `, `2x ` before one takes it twice; `demo` is bundled",
        alias="data",
    )
    format: DataFormat = setting("auto", "format", "auto looks at the rows", advanced=True)
    columns: str = setting(
        "",
        "columns",
        "which column is what, such as `user=question assistant=answer`; empty looks at names",
        advanced=True,
    )
    damaged: Literal["refuse", "drop"] = setting(
        "refuse",
        "damaged rows",
        "refuse a file with rows that can't be read, or drop them and count them",
        advanced=True,
    )
    filter: str = setting(
        "", "row filter", "keep rows for which this holds, such as `turns >= 2 and answer_chars > 20`", advanced=True
    )
    duplicates: Duplicates = setting(
        "keep", "duplicates", "exact drops repeated rows, near also rows that are nearly the same", advanced=True
    )
    near_threshold: float = setting(
        0.9,
        "near threshold",
        "similarity (Jaccard) from which rows count as nearly the same",
        advanced=True,
        when="duplicates=near",
        ge=0.5,
        le=1.0,
    )
    max_length: int = setting(
        2048, "max length", "longest row; what is longer is cut and counted", unit="tokens", ge=16, le=1_048_576
    )
    packing: bool = setting(
        False,
        "packing",
        "put several short rows into one sequence; rows never see each other",
        when="objective=sft",
    )
    padding_free: bool = setting(
        False,
        "padding-free",
        "lay the rows of a batch end to end: nothing is spent on padding; needs attention auto or varlen",
        advanced=True,
        when="objective=sft,packing=off",
    )
    eval_split: float = setting(
        0.02, "eval split", "share of the rows held out to measure on", when="eval_path=", ge=0.0, le=0.5
    )
    group_by: str = setting(
        "",
        "split by",
        "column whose rows stay on one side of the split, such as `user_id`",
        advanced=True,
        when="eval_path=",
    )
    eval_path: str | None = setting(
        None, "eval data", "file of held-out rows; takes the place of the split", advanced=True
    )
    train_on: TrainOn = setting(
        "answers", "train on", "answers masks the prompts out of the loss", advanced=True, when="objective=sft"
    )
    max_rows: int = setting(
        0,
        "row limit",
        "use only the first rows after shuffling; 0 is all",
        unit="rows",
        advanced=True,
        alias="rows",
        ge=0,
    )
    order: RowOrder = setting(
        "shuffled", "row order", "shuffled, as in the file, or curriculum: from easy to difficult", advanced=True
    )
    difficulty: str = setting(
        "length",
        "difficulty",
        "what curriculum goes by: length, words, or a column of numbers",
        advanced=True,
        when="order=curriculum",
    )
