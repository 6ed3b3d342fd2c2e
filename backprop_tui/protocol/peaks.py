"""How much arithmetic a GPU could do: dense tensor-core peaks from its maker's data sheets, by the name the driver gives.

Peaks are without sparsity, for products in bfloat16 or float16 summed in float32. What is not in the table is unknown: a
wrong peak makes a utilisation that looks measured and isn't.
"""

from __future__ import annotations

_T = 1e12
#: Part of the name in lower case, floating-point operations per second, and whether it knows bfloat16. First match counts.
_PEAKS: tuple[tuple[str, float, bool], ...] = (
    ("h100 nvl", 835 * _T, True),
    ("h100 pcie", 756.5 * _T, True),
    ("h100 80gb hbm3", 989.4 * _T, True),
    ("h100 sxm", 989.4 * _T, True),
    ("h200 nvl", 835.5 * _T, True),
    ("h200", 989.4 * _T, True),
    ("a100", 312 * _T, True),
    ("a800", 312 * _T, True),
    ("a10g", 125 * _T, True),
    ("a10", 125 * _T, True),
    ("a30", 165 * _T, True),
    ("a40", 149.7 * _T, True),
    ("l40s", 362 * _T, True),
    ("l4", 121 * _T, True),
    ("v100-sxm", 125 * _T, False),
    ("v100s", 130 * _T, False),
    ("v100-pcie", 112 * _T, False),
    ("t4", 65 * _T, False),
    ("geforce rtx 4090", 165.2 * _T, True),
    ("geforce rtx 3090", 71 * _T, True),
)


def peak_flops(device: str, dtype: str) -> tuple[float | None, str]:
    """Floating-point operations per second a device could do, or None and why.

    Args:
        device: the GPU's name, or `cpu`, as the plan has it.
        dtype: the plan's words, such as `float32, maths in bfloat16`.
    """
    if device in ("cpu", "mps"):
        return None, f"there is no agreed peak of the {device}"
    maths = dtype.rsplit(" ", 1)[-1]
    if maths not in ("bfloat16", "float16"):
        return None, f"no peak is listed for {maths or 'unknown'} arithmetic"
    words = f" {device.lower()} "
    for part, peak, knows_bfloat16 in _PEAKS:
        if part.startswith("geforce") and not device.lower().endswith(part):
            # Laptop, D and other variants of a consumer card share its name and not its speed.
            continue
        # Whole words: "a10" must not be found in "a100", nor "a4000" in "a40".
        if f" {part} " in words or f" {part}-" in words or ("-" in part and f" {part}" in words):
            if maths == "bfloat16" and not knows_bfloat16:
                return None, f"{device} has no bfloat16 tensor cores"
            return peak, ""
    return None, f"no peak is listed for {device}"
