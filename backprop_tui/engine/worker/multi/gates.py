"""The gates before a merge is accepted. Pure; a refused merge leaves the delivered adapter as it was."""

from __future__ import annotations

from collections.abc import Sequence

from backprop_tui.protocol.parts.multi import MultiPart


def refusal(
    part: MultiPart,
    drift: float | None,
    rows: Sequence[Sequence[float | None]],
    losses: Sequence[float | None],
    run: int,
) -> str:
    """Why a merge is refused, as a sentence; "" when it is accepted. The first run always is.

    Args:
        part: which gates there are.
        drift: 1 minus the cosine between the run's update and the merged one.
        rows: the matrix so far, the base's row first; the last row is that of the adapter delivered until now.
        losses: what the row would be with the merge.
        run: from 1.
    """
    if run < 2:
        return ""
    if part.gate in ("drift", "both") and drift is not None and drift > part.gate_drift:
        return f"The run's update drifts {drift:.2f} from what is merged; the gate allows {part.gate_drift:g}."
    if part.gate in ("eval", "both") and rows:
        pairs = [
            (before, after)
            for before, after in zip(rows[-1][: run - 1], losses[: run - 1], strict=True)
            if before is not None and after is not None
        ]
        before, after = (sum(side) / len(pairs) for side in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
        # Not a number compares as False, and must not pass.
        if pairs and not after <= before * (1 + part.gate_eval):
            return (
                f"The mean held-out loss of earlier runs would go from {before:.4f} to {after:.4f}; "
                f"the gate allows a rise of {part.gate_eval * 100:g} %."
            )
    return ""
