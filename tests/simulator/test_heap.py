from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.simulator.heap import HEAP_ENTRY, pop, push


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), max_size=60), st.data())
def test_entries_leave_in_the_order_of_their_keys(keys, data):
    heap = np.zeros(len(keys) + 1, HEAP_ENTRY)
    waiting: list[tuple[float, int]] = []
    for item, key in enumerate(keys):
        push(heap, len(waiting), key, item)
        waiting.append((key, item))
        if data.draw(st.booleans()):
            left = pop(heap, len(waiting))
            least = min(waiting)[0]
            assert keys[left] == least
            waiting.remove((least, left))
    while waiting:
        left = pop(heap, len(waiting))
        assert keys[left] == min(waiting)[0]
        waiting.remove((keys[left], left))
