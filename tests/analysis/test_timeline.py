import xml.etree.ElementTree as ET

import pytest
from run_builder import Plan, build_run

from analysis import figures
from analysis.load import load_run
from analysis.metrics import measure
from analysis.timeline import timeline


def panels(figure):
    return [panel for panel in figure.axes if panel.get_visible()]


@pytest.fixture(scope="module")
def run(pristine_run):
    return load_run(pristine_run)


@pytest.fixture(scope="module")
def figure(run):
    return timeline(run)


def test_every_variant_has_latency_rpm_and_weights_on_one_time_axis(figure):
    visible = panels(figure)
    assert len(visible) == 3 * 3
    limits = {panel.get_xlim() for panel in visible[0::3]}
    assert len(limits) == 1


def test_variants_share_the_scale_of_each_row(figure):
    for row in range(3):
        row_of_panels = panels(figure)[3 * row : 3 * row + 3]
        assert len({panel.get_ylim() for panel in row_of_panels}) == 1


def test_each_baseline_has_a_band_with_what_is_compared_with_it(tmp_path):
    plans = (Plan("local-5s", duration_s=5), Plan("paper-5s", "paper", "local-5s", duration_s=5),
             Plan("local-8s", duration_s=8))  # fmt: skip
    assert len(panels(timeline(load_run(build_run(tmp_path, plans))))) == 3 * 3


def test_a_short_load_without_a_lead_in_can_be_drawn(tmp_path):
    plan = Plan("local-1s", duration_s=1, lead_in_s=0, rps=(0, 1))
    assert figures.to_bytes(timeline(load_run(build_run(tmp_path, (plan,)))), "png").startswith(b"\x89PNG")


def test_the_picture_is_whole_svg_and_always_the_same(run, figure):
    first, second = figures.to_bytes(figure), figures.to_bytes(timeline(run))
    assert first == second
    assert ET.fromstring(first).tag.endswith("svg")  # noqa: S314 - our own output


def test_the_legend_uses_the_words_of_the_design(figure):
    words = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {"kept at edge1", "spilled to edge2", "spilled to cloud", "RPM_max", "measured capacity"} <= words


def test_bars_show_response_and_processing_time_of_every_variant(run):
    figure = figures.bars(measure(run))
    assert [len(panel.patches) for panel in figure.axes] == [2 * 3, 2 * 3]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(run.variants)
