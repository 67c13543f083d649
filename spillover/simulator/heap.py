"""Binary heaps in plain arrays of ``HEAP_ENTRY``, compiled: the least key is in front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.simulator.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Heap = NDArray[Any]

HEAP_ENTRY = np.dtype([("key", np.float64), ("item", np.int64)])


@compiled
def push(heap: Heap, size: int, key: float, item: int) -> None:
    """Add an entry to a heap of ``size`` entries; the array must have room for it."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent].key <= key:
            break
        heap[at].key = heap[parent].key
        heap[at].item = heap[parent].item
        at = parent
    heap[at].key = key
    heap[at].item = item


@compiled
def pop(heap: Heap, size: int) -> int:
    """Take the entry with the least key from a heap of ``size`` entries and return its item."""
    least: int = heap[0].item
    last = size - 1
    key = heap[last].key
    item = heap[last].item
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            break
        if child + 1 < last and heap[child + 1].key < heap[child].key:
            child += 1
        if heap[child].key >= key:
            break
        heap[at].key = heap[child].key
        heap[at].item = heap[child].item
        at = child
    heap[at].key = key
    heap[at].item = item
    return least
