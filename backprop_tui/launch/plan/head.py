"""The head with its loss: TRL's fused one, which goes over the vocabulary in tiles and never holds all logits.

Sizes follow `trl/kernels/chunked_logprob.py` (TRL 1.16): tiles of at most 4,096 tokens by 32,768 words. Where Triton runs
(a GPU), only learnt tokens are projected and a tile is all there is; elsewhere every place is, and PyTorch operations make
copies of the tile, at most three at once in the forward pass and seven in the backward pass.
"""

from __future__ import annotations

from backprop_tui.launch.plan.decoder import Adaptation, Batch, Norm, Numbers
from backprop_tui.launch.plan.shape import ModelShape
from backprop_tui.launch.plan.tape import LOGITS, WORKSPACE, Storage, Sym, Tape, Weight

TOKENS_PER_TILE, WORDS_PER_TILE = 4096, 32_768
#: Copies of a tile in float32 that are alive together: the tile's own flags of one byte count as quarters.
_FORWARD_COPIES, _BACKWARD_COPIES = 3.25, 7.25


class Head:
    """The last norm, the projection and the loss.

    Args:
        embedding: the weight the projection shares, None where it has its own.
        scores: whether it gives one score for a row instead of a vocabulary.
    """

    def __init__(
        self,
        tape: Tape,
        shape: ModelShape,
        numbers: Numbers,
        adapt: Adaptation,
        batch: Batch,
        gpu: bool,
        embedding: Weight | None,
        *,
        scores: bool = False,
    ) -> None:
        self.tape, self.shape, self.numbers, self.batch, self.gpu = tape, shape, numbers, batch, gpu
        self.scores = scores
        self.norm = Norm(tape, shape.hidden, numbers, adapt)
        words = 1 if scores else shape.vocabulary
        self.weight = embedding or Weight(
            tape, words * shape.hidden, numbers.weights, trained=adapt.everything or scores
        )

    def __call__(self, x: Sym) -> Sym:
        """The loss of every projected token."""
        tape, batch = self.tape, self.batch
        h = self.norm(x)
        del x
        if self.scores:
            return tape.op([h, self.weight], batch.places, h.width, saves=[h.storage])
        if self.gpu:
            tokens: float = batch.learnt
        else:
            tokens = batch.rows * (batch.longest - 1)
        if self.gpu or batch.rows > 1:
            h = tape.op([h], tokens * self.shape.hidden, h.width)
        return self._scored(h, tokens)

    def _scored(self, h: Sym, tokens: float) -> Sym:
        tape, vocabulary = self.tape, self.shape.vocabulary
        rows, words = min(tokens, TOKENS_PER_TILE), min(vocabulary, WORDS_PER_TILE)
        maths = self.numbers.autocast or h.width
        tile = rows * WORDS_PER_TILE * maths
        plain = rows * words * 4
        statistics = tape.new(7 * tokens * 4, LOGITS)
        self._work(tile, plain, _FORWARD_COPIES + (1 if maths != 4 else 0), maths, rows, words)
        gradient = tokens * self.shape.hidden * 4
        size, width, trained = h.size, h.width, self.weight.trained
        weight_count, weight_width = self.weight.count, self.weight.width

        def back(grad: Storage) -> list[Storage | None]:
            hidden = tape.new(gradient)
            whole = tape.new(weight_count * 4) if trained else None
            self._work(tile, plain, _BACKWARD_COPIES + (1 if maths != 4 else 0), maths, rows, words)
            if width != 4:
                hidden = tape.new(size)
            if whole is not None and weight_width != 4:
                whole = tape.new(weight_count * weight_width)
            return [hidden, whole]

        out = tape.op([h, self.weight], tokens, 4, saves=[h.storage, tape.new(2 * tokens * 4, LOGITS)], back=back)
        del statistics
        return out

    def _work(self, tile: float, plain: float, copies: float, maths: int, rows: float, words: int) -> None:
        """Hold, for a moment, what a pass over the tiles holds."""
        buffer = self.tape.new(tile, LOGITS)
        pieces = self.tape.new(0 if self.gpu else plain * copies, LOGITS)
        cast = words * self.shape.hidden * maths if maths != self.weight.width else 0
        if maths != 4 and not self.gpu:
            # Sums are made in float32, for which both factors are copied.
            cast += words * self.shape.hidden * 4
        copied = self.tape.new(cast, WORKSPACE)
        del buffer, pieces, copied
