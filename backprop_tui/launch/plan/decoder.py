"""One decoder layer of the Llama family (Llama, Mistral, Qwen2/3, Phi-3, Gemma ...) written for the tape.

Every function has the lines of transformers' own `forward` with the same names kept alive, since what is alive decides the
peak. Formats: the base's (`Numbers.weights`), that of the products (`Numbers.maths`, autocast) and float32 of adapters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backprop_tui.launch.plan.shape import ModelShape
from backprop_tui.launch.plan.tape import WORKSPACE, Storage, Sym, Tape, Weight


@dataclass(frozen=True, slots=True)
class Numbers:
    """Bytes per element: of the base's weights, of trained adapters, and of products under autocast (None without)."""

    weights: int
    autocast: int | None
    adapters: int = 4

    @property
    def maths(self) -> int:
        """Bytes per element of a product."""
        return self.autocast or self.weights


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Which weights are trained.

    Attributes:
        everything: all of them, without adapters. rank: of the adapters, by name of the linear layer; others have none.
        dropout: whether adapter inputs are dropped. bits: of a quantised base, None where it is not.
        dora: whether each layer has a magnitude beside its adapter.
    """

    everything: bool
    rank: dict[str, int] = field(default_factory=dict)
    dropout: bool = False
    bits: int | None = None
    dora: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch as the model sees it: `rows` by `longest` places, of which `learnt` tokens count in the loss.

    `masked` says whether attention is given a mask (padding or packing) of `mask_rows` by longest by longest, `eager` whether
    it is computed with all its scores at once.
    """

    rows: int
    longest: int
    learnt: int
    masked: bool = False
    mask_rows: int = 1
    eager: bool = False

    @property
    def places(self) -> int:
        """Places of tokens, padding included."""
        return self.rows * self.longest


class Linear:
    """A linear layer with or without an adapter."""

    def __init__(
        self, tape: Tape, name: str, size_in: int, size_out: int, bias: bool, numbers: Numbers, adapt: Adaptation
    ) -> None:
        self.tape, self.numbers, self.adapt = tape, numbers, adapt
        self.size_in, self.size_out = size_in, size_out
        self.weight = Weight(tape, size_in * size_out, numbers.weights, trained=adapt.everything)
        self.bias = Weight(tape, size_out, numbers.weights, trained=adapt.everything) if bias else None
        self.rank = adapt.rank.get(name, 0)
        if self.rank:
            self.down = Weight(tape, size_in * self.rank, numbers.adapters, trained=True)
            self.up = Weight(tape, size_out * self.rank, numbers.adapters, trained=True)
            self.magnitude = Weight(tape, size_out, numbers.adapters, trained=True) if adapt.dora else None

    def __call__(self, x: Sym) -> Sym:
        """`base(x) + up(down(dropout(x))) * scale`, as PEFT computes it."""
        places = x.count / self.size_in
        result = self._base(x, places)
        if not self.rank:
            return result
        x = self.tape.cast(x, self.numbers.adapters)
        if self.adapt.dropout:
            x = self._dropout(x)
        if self.magnitude is not None:
            return self.tape.add(result, self._directed(x, result, places, self.magnitude))
        hidden = self._product(x, self.down, places * self.rank)
        del x
        update = self._product(hidden, self.up, places * self.size_out)
        del hidden
        update = self.tape.op([update], update.count, update.width)
        return self.tape.add(result, update)

    def _directed(self, x: Sym, base: Sym, places: float, magnitude: Weight) -> Sym:
        """DoRA's addition: `(m - 1) * base + m * update * scale`, with m over the norm of the weights as they stand.

        For that norm the update is written out as a whole matrix, and an identity goes through the adapter to get it.
        """
        tape, width, whole = self.tape, self.numbers.adapters, self.size_in * self.size_out
        identity = tape.new(self.size_in * (self.size_in + self.rank) * width, WORKSPACE)
        update_matrix = tape.new(whole * width, WORKSPACE)
        sums = tape.new(2 * whole * width, WORKSPACE)
        del sums
        ratio = tape.op([magnitude], self.size_out, width)
        update = self._product(self._product(x, self.down, places * self.rank), self.up, places * self.size_out)
        if self.adapt.dropout:
            base = self._product(x, self.weight, places * self.size_out)
        elif self.bias is not None:
            base = tape.op([base], base.count, base.width)
        size = places * self.size_out * width
        kept = tape.op([ratio, base], base.count, width, saves=[base.storage], temporary=size)
        added = tape.op([ratio, update], update.count, width, saves=[update.storage], temporary=size)
        del update
        added = tape.op([added], added.count, width)
        del identity, update_matrix
        return tape.add(kept, added)

    def _base(self, x: Sym, places: float) -> Sym:
        if self.adapt.bits is None:
            return self._product(x, self.weight, places * self.size_out, self.bias)
        # A quantised weight is unpacked for the product and again for its gradient, one at a time.
        unpacked = self.size_in * self.size_out * self.numbers.maths
        x = self.tape.cast(x, self.numbers.maths)
        temporary = self.tape.new(unpacked, WORKSPACE)
        out = self.tape.op([x], places * self.size_out, self.numbers.maths, temporary=unpacked)
        del temporary
        return out

    def _product(self, x: Sym, weight: Weight, count: float, bias: Weight | None = None) -> Sym:
        tape, numbers = self.tape, self.numbers
        width = numbers.autocast or weight.width
        x = tape.cast(x, width)
        # Autocast's copy of a frozen weight lives with the product; that of a trained one in its cache.
        copy = tape.new(weight.count * width, WORKSPACE) if width != weight.width else None
        saves = [x.storage] if weight.trained else []
        if copy is not None:
            saves.append(copy)
        inputs: list[Sym | Weight] = [x, weight] if bias is None else [x, weight, bias]
        return tape.op(inputs, count, width, saves=saves)

    def _dropout(self, x: Sym) -> Sym:
        mask = self.tape.new(x.count * x.width)
        return self.tape.op([x], x.count, x.width, saves=[mask])


class Norm:
    """Root-mean-square norm, computed in float32."""

    def __init__(self, tape: Tape, size: int, numbers: Numbers, adapt: Adaptation) -> None:
        self.tape, self.size = tape, size
        self.weight = Weight(tape, size, numbers.weights, trained=adapt.everything)

    def __call__(self, x: Sym) -> Sym:
        """The normalised input in its own format."""
        tape, width = self.tape, x.width
        h = tape.cast(x, 4)
        places = x.count / self.size
        squares = tape.op([h], h.count, 4, saves=[h.storage], temporary=2 * h.size)
        variance = tape.op([squares], places, 4)
        del squares
        scale = tape.op([variance], places, 4)
        h = tape.op([h, scale], h.count, 4, saves=[h.storage, scale.storage], temporary=h.size)
        h = tape.cast(h, width)
        saves = [h.storage] if self.weight.trained else []
        out_width = max(width, self.weight.width)
        return tape.op([h, self.weight], h.count, out_width, saves=saves, temporary=h.size if saves else 0)


class Layer:
    """Attention and gated MLP with their norms and residual sums."""

    def __init__(
        self, tape: Tape, shape: ModelShape, numbers: Numbers, adapt: Adaptation, batch: Batch, gpu: bool
    ) -> None:
        self.tape, self.shape, self.batch, self.gpu, self.numbers = tape, shape, batch, gpu, numbers
        hidden, wide = shape.hidden, shape.heads * shape.head_size
        narrow = shape.kv_heads * shape.head_size

        def linear(name: str, size_in: int, size_out: int, bias: bool) -> Linear:
            return Linear(tape, name, size_in, size_out, bias, numbers, adapt)

        self.q = linear("q_proj", hidden, wide, shape.attention_bias)
        self.k = linear("k_proj", hidden, narrow, shape.attention_bias)
        self.v = linear("v_proj", hidden, narrow, shape.attention_bias)
        self.o = linear("o_proj", wide, hidden, shape.output_bias)
        self.gate = linear("gate_proj", hidden, shape.inner, shape.mlp_bias)
        self.up = linear("up_proj", hidden, shape.inner, shape.mlp_bias)
        self.down = linear("down_proj", shape.inner, hidden, shape.mlp_bias)
        self.first, self.second = (Norm(tape, hidden, numbers, adapt) for _ in range(2))
        self.q_norm = Norm(tape, shape.head_size, numbers, adapt) if shape.qk_norm else None
        self.k_norm = Norm(tape, shape.head_size, numbers, adapt) if shape.qk_norm else None

    def __call__(self, x: Sym) -> Sym:
        """The layer's output, in the format of the residual stream."""
        h = self._attention(self.first(x))
        h = self.tape.add(x, h)
        residual = h
        h = self._mlp(self.second(h))
        return self.tape.add(residual, h)

    def _attention(self, x: Sym) -> Sym:
        q, k = self.q(x), self.k(x)
        if self.q_norm and self.k_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        v = self.v(x)
        q, k = self._rotated(q), self._rotated(k)
        out = self._attend(q, k, v)
        return self.o(out)

    def _rotated(self, x: Sym) -> Sym:
        tape = self.tape
        # cos and sin have the format of the residual stream.
        width = max(x.width, self.numbers.weights)
        straight = tape.op([x], x.count, width)
        half = tape.op([x], x.count / 2, x.width)
        turned = tape.op([half, x], x.count, x.width)
        del half
        turned = tape.op([turned], x.count, width)
        return tape.add(straight, turned)

    def _attend(self, q: Sym, k: Sym, v: Sym) -> Sym:
        tape, shape, batch, width = self.tape, self.shape, self.batch, self.numbers.maths
        if shape.heads != shape.kv_heads and (batch.masked or batch.eager):
            k, v = self._repeated(k), self._repeated(v)
        q, k, v = (tape.cast(entry, width) for entry in (q, k, v))
        if batch.eager:
            return self._attend_eagerly(q, k, v)
        saves: list[Storage] = [q.storage, k.storage, v.storage]
        if batch.masked:
            # Each call turns the boolean mask into numbers, and keeps them for its gradient.
            saves.append(tape.new(batch.mask_rows * batch.longest**2 * width))
        out = tape.new(q.count * width)
        saves += [out, tape.new(batch.places * shape.heads * 4)]
        return tape.op([q, k, v], q.count, width, saves=saves, storage=out)

    def _attend_eagerly(self, q: Sym, k: Sym, v: Sym) -> Sym:
        """Scores of every pair of places, their softmax in float32, and a copy of it in the format of the products."""
        tape, batch = self.tape, self.batch
        count = batch.rows * self.shape.heads * batch.longest**2
        scores = tape.op([q, k], count, q.width, saves=[q.storage, k.storage])
        scores = tape.op([scores], count, q.width)
        scores = tape.op([scores], count, q.width)
        kept = tape.new(count * 4)
        scores = tape.op([scores], count, 4, storage=kept, saves=[kept])
        scores = tape.cast(scores, q.width)
        out = tape.op([scores, v], q.count, q.width, saves=[scores.storage, v.storage])
        del scores, kept
        return tape.op([out], out.count, out.width)

    def _repeated(self, x: Sym) -> Sym:
        return self.tape.op([x], x.count * self.shape.heads / self.shape.kv_heads, x.width)

    def _mlp(self, x: Sym) -> Sym:
        tape = self.tape
        gate = self.gate(x)
        act = tape.op([gate], gate.count, gate.width, saves=[gate.storage])
        del gate
        product = tape.multiply(act, self.up(x))
        del act
        return self.down(product)
