"""Numbers and names as people read them: the same words in tables, legends and sentences."""

from collections.abc import Mapping
from typing import Any

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"


def ms(value: float | None) -> str:
    """Return a time in the unit that suits it, three significant figures: ``87.2 ms``, ``28.1 s``."""
    if value is None:
        return NOTHING
    if abs(value) >= 1000:
        return f"{_three(value / 1000)} s"
    return f"{_three(value)} ms"


def _three(value: float) -> str:
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{decimals}f}".replace("-", MINUS)


def percent(fraction: float | None, decimals: int = 1) -> str:
    """Return a fraction in per cent: ``96.3 %``."""
    if fraction is None:
        return NOTHING
    return f"{100 * fraction:.{decimals}f} %".replace("-", MINUS)


def interval(low: float, high: float) -> str:
    """Return an interval of fractions in per cent: ``95.9 to 96.8 %``."""
    return f"{100 * low:.1f} to {100 * high:.1f} %".replace("-", MINUS)


def change(reduction: float) -> str:
    """Return a reduction as words: ``96.3 % lower``, ``4.0 % higher``."""
    return f"{percent(abs(reduction))} {'lower' if reduction >= 0 else 'higher'}"


def settings_of(policy: str, settings: Mapping[str, Any]) -> str:
    """Return what distinguishes a variant, from its settings: ``window 1 s, period 1 s, RPM_max = 0.8 x capacity``."""
    smaller = isinstance(settings.get("load_factor"), int | float) and settings["load_factor"] != 1
    load = [f"{settings['load_factor']:g} {TIMES} the load"] if smaller else []
    if policy == "local":
        return ", ".join(["no balancing", *load])
    parts = [f"policy {policy}", *load]
    parts += [f"{name} {settings[key]:g} s" for name, key in (("window", "window_s"), ("period", "period_s"))
              if isinstance(settings.get(key), int | float)]  # fmt: skip
    if isinstance(settings.get("rpm_max_factor"), int | float):
        parts.append(f"RPM_max = {settings['rpm_max_factor']:g} {TIMES} capacity")
    return ", ".join(parts)
