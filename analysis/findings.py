"""What a run found, in sentences and table rows. Everything here is measured; only the published figures are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import wording
from analysis.load import Run
from analysis.metrics import Comparison, Measured, Merit, middle, middle_repeat

PUBLISHED_2022_P50_REDUCTION = 0.963
PUBLISHED = (
    {
        "source": "IEEE 9820181 (2022), as published",
        "mean": wording.NOTHING,
        "median": f"{wording.percent(PUBLISHED_2022_P50_REDUCTION)} lower",
        "note": "median response time with its load balancing against without",
    },
    {
        "source": "the original paper (2021), as published",
        "mean": "“improves”",
        "median": wording.NOTHING,
        "note": "qualitative: the mean processing time under heavy load improves",
    },
)


@dataclass(frozen=True, slots=True)
class Headline:
    """The run in two sentences, and what the load was."""

    claim: str
    detail: str
    load: str


def headline(measured: Measured) -> Headline:
    """Return the finding with the largest reduction of the median, whatever its sign."""
    run = measured.run
    if not measured.comparisons:
        variants = ", ".join(run.variants)
        return Headline(f"{run.experiment}: measured, with no baseline to compare with", f"Variants: {variants}.", "")
    best = max(measured.comparisons, key=lambda comparison: comparison.p50_reduction)
    return Headline(
        claim=(
            f"Median response time {wording.change(best.p50_reduction)}, mean {wording.change(best.mean_reduction)}: "
            f"{best.variant} against {best.baseline}"
        ),
        detail=f"With {best.variant}: {_instead(best, measured.merits)}. The 2022 paper reports a median "
        f"{wording.change(PUBLISHED_2022_P50_REDUCTION)} than without balancing.",
        load=load_sentence(run, best.variant),
    )


def _instead(comparison: Comparison, merits: Mapping[str, Sequence[Merit]]) -> str:
    ours, theirs = merits[comparison.variant], merits[comparison.baseline]
    median = [wording.ms(middle([one.p50_ms for one in repeats])) for repeats in (ours, theirs)]
    mean = [wording.ms(middle([one.mean_ms for one in repeats])) for repeats in (ours, theirs)]
    return f"median {median[0]} instead of {median[1]}, mean {mean[0]} instead of {mean[1]}"


def load_sentence(run: Run, variant: str) -> str:
    """Return what the step of `variant` offered to the busiest origin."""
    cell = middle_repeat(run.repeats(variant))
    origin = run.busiest_origin
    starts = cell.step.loc[cell.step["origin"] == origin, "start_s"]
    length_s = float(starts.max()) - cell.lead_in_s
    if len(starts) < 2 or length_s <= 0:
        return f"{len(starts)} requests entered at {origin}."
    rpm = 60 * len(starts) / length_s
    sentence = f"{origin} received {rpm:,.0f} requests per minute (RPM) for {length_s:.0f} s"
    capacity_rpm = run.capacity_rpm(origin)
    if capacity_rpm:
        sentence += f", {rpm / capacity_rpm:.1f} times its measured capacity of {capacity_rpm:,.0f} RPM"
    return sentence + "."


def cards(measured: Measured) -> list[dict[str, str]]:
    """Return one card a comparison, in the order of the run."""
    return [
        {
            "variant": comparison.variant,
            "baseline": comparison.baseline,
            "median": wording.change(comparison.p50_reduction),
            "mean": wording.change(comparison.mean_reduction),
            "verdict": against_published(comparison.p50_reduction),
        }
        for comparison in measured.comparisons
    ]


def against_published(p50_reduction: float) -> str:
    """Return where a reduction of the median stands beside the 2022 paper's."""
    claim = wording.percent(PUBLISHED_2022_P50_REDUCTION)
    points = 100 * (p50_reduction - PUBLISHED_2022_P50_REDUCTION)
    if abs(points) < 0.05:
        return f"equal to the {claim} of 2022"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'} the {claim} of 2022"


def table(measured: Measured) -> list[dict[str, Any]]:
    """Return one row a variant: counts summed, other figures medians over its repeats."""
    compared = {comparison.variant: comparison for comparison in measured.comparisons}
    return [_row(measured.run, variant, repeats, compared.get(variant)) for variant, repeats in measured.merits.items()]


def _row(run: Run, variant: str, repeats: Sequence[Merit], comparison: Comparison | None) -> dict[str, Any]:
    cell = run.repeats(variant)[0]
    requests, errors = sum(one.requests for one in repeats), sum(one.errors for one in repeats)
    row = {
        "variant": variant,
        "settings": wording.settings_of(cell.policy, cell.settings),
        "repeats": len(repeats),
        "requests": f"{requests:,}",
        "errors": f"{errors:,}",
        "errors_percent": wording.percent(errors / requests),
        "mean": wording.ms(middle([one.mean_ms for one in repeats])),
        "p50": wording.ms(middle([one.p50_ms for one in repeats])),
        "p99": wording.ms(middle([one.p99_ms for one in repeats])),
        "throughput": f"{middle([one.throughput_rps for one in repeats]) or 0:.1f}",
        "spilled": wording.percent(middle([one.spilled_fraction for one in repeats])),
        "is_baseline": comparison is None,
    }
    if comparison is not None:
        row |= {
            "baseline": comparison.baseline,
            "mean_change": wording.change(comparison.mean_reduction),
            "mean_interval": wording.interval(*comparison.mean_reduction_interval),
            "p50_change": wording.change(comparison.p50_reduction),
            "p50_interval": wording.interval(*comparison.p50_reduction_interval),
            "verdict": against_published(comparison.p50_reduction),
        }
    return row


def served(run: Run) -> list[dict[str, Any]]:
    """Return who served whom: one row a variant and origin, answered requests by site, summed over repeats."""
    rows = []
    for variant in run.variants:
        counts: dict[str, dict[str, int]] = {}
        for cell in run.repeats(variant):
            answered = cell.step[~cell.step["is_error"] & (cell.step["serving_site"] != "")]
            for (origin, site), group in answered.groupby(["origin", "serving_site"]):
                by_site = counts.setdefault(str(origin), {})
                by_site[str(site)] = by_site.get(str(site), 0) + len(group)
        for origin, by_site in sorted(counts.items()):
            total = sum(by_site.values())
            shares = [(site, by_site.get(site, 0), by_site.get(site, 0) / total) for site in run.sites]
            rows.append({
                "variant": variant,
                "origin": origin,
                "sites": [
                    {"count": f"{count:,}", "percent": wording.percent(share), "width": f"{100 * share:.1f}",
                     "home": site == origin, "none": count == 0}
                    for site, count, share in shares
                ],
            })  # fmt: skip
    return rows
