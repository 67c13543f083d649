import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_builder import edit_json

from analysis.load import load_run
from analysis.metrics import measure
from analysis.report import report

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Balance(HTMLParser):
    """Notice elements that are closed in the wrong order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - the parser's interface
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(pristine_run):
    return report(measure(load_run(pristine_run))).decode()


def test_it_needs_nothing_else(html):
    assert not re.search(r'(?:src|href)="(?!#|data:)', html)
    assert not re.search(r"@import|url\((?!#|['\"]?data:)", html)
    assert "<script" not in html


def test_it_is_well_formed(html):
    balance = Balance()
    balance.feed(html)
    assert balance.open == []


@pytest.mark.parametrize(
    "words",
    ["Median response time", "as published", "IEEE 9820181 (2022)", "Who served whom", "configured round trip",
     "No reason for doubt", "0123456789abcdef0123456789abcdef01234567", "ansible-playbook site.yml", "lead-in"],
)  # fmt: skip
def test_every_part_is_there(html, words):
    assert words in html


@pytest.fixture(scope="module")
def doubtful_html(pristine_run, tmp_path_factory):
    """A run that stopped early, of a tree with changes, with a variant whose name is an attack."""
    directory = Path(shutil.copytree(pristine_run, tmp_path_factory.mktemp("doubtful") / "run"))
    edit_json(directory / "cells" / "02-paper-1s-seed7" / "load-summary.json", stopped_by="hard_stop")
    cells = json.loads((directory / "run.json").read_text())["cells"]
    cells[1]["variant"] = "<script>alert(1)</script> $x_1$"
    git = {"revision": "abc", "dirty": True}
    edit_json(directory / "run.json", cells=cells, git=git, command="make site PROFILE=short")
    return report(measure(load_run(directory))).decode()


def test_doubts_stand_at_the_top(doubtful_html):
    assert doubtful_html.index("the load stopped early") < doubtful_html.index("<svg")
    assert "No reason for doubt" not in doubtful_html


def test_uncommitted_changes_and_the_command_are_told(doubtful_html):
    assert "with uncommitted changes" in doubtful_html
    assert "make site PROFILE=short" in doubtful_html


def test_names_cannot_break_the_page(doubtful_html):
    assert "<script" not in doubtful_html
    assert "&lt;script&gt;" in doubtful_html


def test_the_same_run_gives_the_same_report(pristine_run, html):
    assert report(measure(load_run(pristine_run))).decode() == html
