import json
import re
from html.parser import HTMLParser

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


def test_doubts_stand_at_the_top(run_directory):
    edit_json(run_directory / "cells" / "02-paper-1s-seed7" / "load-summary.json", stopped_by="duration")
    html = report(measure(load_run(run_directory))).decode()
    assert html.index("the load stopped early") < html.index("<svg")
    assert "No reason for doubt" not in html


def test_uncommitted_changes_are_told(run_directory):
    edit_json(run_directory / "run.json", git={"revision": "abc", "dirty": True}, command="make site PROFILE=short")
    html = report(measure(load_run(run_directory))).decode()
    assert "with uncommitted changes" in html
    assert "make site PROFILE=short" in html


def test_names_cannot_break_the_page(run_directory):
    document = json.loads((run_directory / "run.json").read_text())
    document["cells"][1]["variant"] = "<script>alert(1)</script> $x_1$"
    edit_json(run_directory / "run.json", cells=document["cells"])
    html = report(measure(load_run(run_directory))).decode()
    assert "<script" not in html


def test_the_same_run_gives_the_same_report(pristine_run, html):
    assert report(measure(load_run(pristine_run))).decode() == html
