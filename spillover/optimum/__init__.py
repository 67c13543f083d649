"""The best that any split by chance can do, by a method of its own (scipy), and what no policy at all can beat.

Nothing here is imported by the daemon. The tests measure ``cooperative`` against it, the reports print it.
"""

from spillover.optimum.bounds import (
    fluid_oracle_ms,
    goodput_bound_rps,
    lower_bound_ms,
    necessary_spill_rps,
    pooling_bound_ms,
    transport_bound_ms,
)
from spillover.optimum.instances import random_snapshot
from spillover.optimum.static import Optimum, solve

__all__ = [
    "Optimum",
    "fluid_oracle_ms",
    "goodput_bound_rps",
    "lower_bound_ms",
    "necessary_spill_rps",
    "pooling_bound_ms",
    "random_snapshot",
    "solve",
    "transport_bound_ms",
]
