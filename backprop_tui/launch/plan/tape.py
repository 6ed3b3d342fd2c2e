"""A rehearsal of a training step in bytes: tensors without numbers, kept and let go exactly as autograd keeps and lets go.

A `Sym` stands for a tensor, a `Storage` for the memory behind it. Python's own reference counts say when memory is free
again, as they do for PyTorch: code that is written like the model's `forward` has the model's peak. `backward` walks the
recorded nodes from the newest to the oldest, which is the order of autograd's engine, and drops what a node saved once the
node is done. Sizes are in bytes, counts in elements.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

ACTIVATIONS, LOGITS, GRADIENTS, WORKSPACE = "activations", "logits", "gradients", "workspace"


class Storage:
    """Memory that is held while anybody refers to it."""

    __slots__ = ("part", "size", "tape")

    def __init__(self, tape: Tape, size: float, part: str) -> None:
        self.tape, self.size, self.part = tape, size, part
        tape.take(size, part)

    def __del__(self) -> None:
        self.tape.give(self.size, self.part)


Back = Callable[[Storage], Sequence[Storage | None]]


class Node:
    """One recorded operation: what it saved, and how a gradient passes through it to each of its inputs."""

    __slots__ = ("back", "inputs", "order", "saved")

    def __init__(self, order: int, inputs: Sequence[Node | None], saved: Sequence[Storage], back: Back) -> None:
        self.order, self.inputs, self.saved, self.back = order, inputs, saved, back


class Sym:
    """A tensor: `count` elements of `width` bytes. `node` is None where no gradient is wanted."""

    __slots__ = ("count", "node", "storage", "width")

    def __init__(self, storage: Storage, count: float, width: int, node: Node | None) -> None:
        self.storage, self.count, self.width, self.node = storage, count, width, node

    @property
    def size(self) -> float:
        """Bytes of its elements."""
        return self.count * self.width


class Weight:
    """A parameter. Its own bytes are counted elsewhere; its gradient is made here and stays until `Tape.zero`."""

    __slots__ = ("count", "node", "trained", "width")

    def __init__(self, tape: Tape, count: float, width: int, *, trained: bool) -> None:
        self.count, self.width, self.trained = count, width, trained
        self.node = Node(-1, (), (), lambda grad: tape.keep_gradient(self, grad)) if trained else None


class Tape:
    """The balance of one device.

    Attributes:
        held, peak: bytes now, and the most there were. at_peak: bytes by part at that moment.
    """

    def __init__(self) -> None:
        self.held = self.peak = 0.0
        self.by_part: Counter[str] = Counter()
        self.at_peak: dict[str, float] = {}
        self.recording = True
        self._order = 0
        self._gradients: dict[int, Storage] = {}

    def take(self, size: float, part: str) -> None:
        """Account for memory that is taken."""
        self.held += size
        self.by_part[part] += size  # type: ignore[assignment]
        if self.held > self.peak:
            self.peak = self.held
            self.at_peak = dict(self.by_part)

    def give(self, size: float, part: str) -> None:
        """Account for memory that is free again."""
        self.held -= size
        self.by_part[part] -= size  # type: ignore[assignment]

    def new(self, size: float, part: str = ACTIVATIONS) -> Storage:
        """Fresh memory."""
        return Storage(self, size, part)

    def input(self, count: float, width: int, *, wants_gradient: bool = False) -> Sym:
        """A tensor nobody computed."""
        node = Node(0, (), (), lambda grad: ()) if wants_gradient and self.recording else None
        return Sym(self.new(count * width), count, width, node)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing is recorded, as under `torch.no_grad`."""
        before, self.recording = self.recording, False
        try:
            yield
        finally:
            self.recording = before

    def op(
        self,
        inputs: Sequence[Sym | Weight],
        count: float,
        width: int,
        *,
        saves: Sequence[Storage] = (),
        back: Back | None = None,
        storage: Storage | None = None,
        temporary: float = 0.0,
    ) -> Sym:
        """An operation's result.

        Args:
            inputs: what it reads.
            count: elements of the result.
            width: bytes of each.
            saves: what its backward pass needs.
            back: gradients for each input, given that of the result; None makes fresh ones of the inputs' sizes.
            storage: the result's memory where it is no fresh one (a view).
            temporary: bytes its backward pass takes besides the gradients.
        """
        out = storage or self.new(count * width)
        nodes = [entry.node for entry in inputs]
        if not self.recording or not any(nodes):
            return Sym(out, count, width, None)
        self._order += 1
        sizes = [entry.count * entry.width if entry.node is not None else None for entry in inputs]
        return Sym(out, count, width, Node(self._order, nodes, list(saves), back or self._fresh(sizes, temporary)))

    def _fresh(self, sizes: Sequence[float | None], temporary: float) -> Back:
        def back(grad: Storage) -> list[Storage | None]:
            extra = self.new(temporary, WORKSPACE) if temporary else None
            made = [None if size is None else self.new(size) for size in sizes]
            del extra
            return made

        return back

    def view(self, source: Sym) -> Sym:
        """The same memory in another shape."""
        return self.op([source], source.count, source.width, back=lambda grad: (grad,), storage=source.storage)

    def cast(self, source: Sym, width: int) -> Sym:
        """A copy in another number format; the same tensor where it has that format already."""
        return source if source.width == width else self.op([source], source.count, width)

    def add(self, one: Sym, two: Sym) -> Sym:
        """A sum; the gradient is the same memory for both, unless one of them has another format."""
        width = max(one.width, two.width)
        sides = [(side.node is not None, side.width, side.count) for side in (one, two)]

        def back(grad: Storage) -> list[Storage | None]:
            return [
                None if not wanted else grad if own == width else self.new(count * own) for wanted, own, count in sides
            ]

        return self.op([one, two], max(one.count, two.count), width, back=back)

    def multiply(self, one: Sym, two: Sym) -> Sym:
        """A product of two tensors of one shape: each is saved for the other's gradient."""
        saves = [*([one.storage] if two.node else []), *([two.storage] if one.node else [])]
        return self.op([one, two], one.count, max(one.width, two.width), saves=saves)

    def checkpoint(self, layer: Callable[[Sym], Sym], source: Sym) -> Sym:
        """Keep only the layer's input and run the layer again when its gradient is wanted."""
        with self.silent():
            out = layer(source)
        if not self.recording:
            return out
        wanted = source.node is not None

        def back(grad: Storage) -> list[Storage | None]:
            entry = Sym(kept, source_count, source_width, None)
            if wanted:
                entry.node = Node(0, (), (), lambda found: arrived.append(found) or ())  # type: ignore[func-returns-value]
            arrived: list[Storage] = []
            result = layer(entry)
            node = result.node
            del result
            if node is not None:
                self.backward(node, grad)
            return [arrived.pop() if arrived else None]

        kept, source_count, source_width = source.storage, source.count, source.width
        self._order += 1
        node = Node(self._order, [source.node], [kept], back)
        return Sym(out.storage, out.count, out.width, node)

    def backward(self, node: Node, grad: Storage) -> None:
        """Pass `grad` from a node to everything it was computed from."""
        pending: dict[Node, Storage] = {node: grad}
        del grad
        heap = [(-node.order, id(node), node)]
        while heap:
            _, _, current = heapq.heappop(heap)
            arrived = pending.pop(current)
            results = list(current.back(arrived))
            del arrived
            inputs, current.saved, current.back = current.inputs, (), _spent
            for number, target in enumerate(inputs):
                result = results[number]
                results[number] = None
                if target is None or result is None:
                    continue
                if target.order < 0:
                    target.back(result)
                elif target not in pending:
                    pending[target] = result
                    heapq.heappush(heap, (-target.order, id(target), target))
                # Otherwise the sum is made in place of the gradient that was there first.
                del result

    def keep_gradient(self, weight: Weight, grad: Storage) -> Sequence[Storage | None]:
        """Keep a weight's first gradient, and add later ones to it."""
        if id(weight) not in self._gradients:
            self.give(grad.size, grad.part)
            grad.part = GRADIENTS
            self.by_part[GRADIENTS] += grad.size  # type: ignore[assignment]
            self.held += grad.size
            self._gradients[id(weight)] = grad
        return ()

    def zero(self) -> None:
        """Let go of all gradients of weights."""
        self._gradients.clear()


def _spent(grad: Storage) -> Sequence[Storage | None]:
    raise RuntimeError("a node gives its gradients once")
