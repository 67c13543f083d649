import math

import pytest
from pydantic import BaseModel, Field, model_validator

from spillover.model import SpilloverError
from spillover.validation import Strict, parse, parse_json, read_json, read_text, read_yaml


class Inner(BaseModel):
    rps: float = Field(gt=0)
    least: float = 0

    @model_validator(mode="after")
    def agree(self):
        if self.least > self.rps:
            raise ValueError(f"least must be at most rps, got {self.least:g}")
        return self


class Other(BaseModel):
    text: str


class Outer(Strict):
    name: str = Field(min_length=1, max_length=90)
    parts: list[Inner] = Field(default=[], min_length=1)
    share: float = Field(default=1, le=1)
    count: int | None = None
    either: Inner | Other | None = None

    @model_validator(mode="after")
    def agree(self):
        if self.name == "odd":
            raise ValueError("name must not be odd, got 'odd'")
        return self


def test_valid_data_become_the_model():
    assert parse(Outer, {"name": "a", "parts": [{"rps": 2}]}, source="x.yml") == Outer(name="a", parts=[Inner(rps=2)])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"name": "a", "parts": [{"rps": -1}]}, "x.yml: parts.0.rps must be above 0, got -1"),
        ({"name": 5}, "x.yml: name must be a valid string, got 5"),
        ({"name": ""}, "x.yml: name must have at least 1 character, got ''"),
        ({}, "x.yml: name must be given, got none"),
        ({"name": "a", "nmae": "b"}, "x.yml: nmae is not a known field, got 'b'"),
        ({"name": "odd"}, "x.yml: name must not be odd, got 'odd'"),
        ({"name": "a" * 99}, f"x.yml: name must have at most 90 characters, got '{'a' * 76}..."),
        ({"name": "a", "share": math.nan}, "x.yml: share must be a finite number, got nan"),
        ({"name": "a", "share": 2}, "x.yml: share must be at most 1, got 2"),
        (
            {"name": "a", "parts": [{"rps": 2, "least": 3}]},
            "x.yml: parts.0: least must be at most rps, got 3",
        ),
        ({"name": "a", "parts": "none"}, "x.yml: parts must be a valid list, got 'none'"),
        ({"name": "a", "parts": []}, "x.yml: parts must have at least 1 item, got []"),
        ({"name": "a", "parts": ["edge1"]}, "x.yml: parts.0 must be a mapping, got 'edge1'"),
        ({"name": "a", "count": "many"}, "x.yml: count must be a valid integer, got 'many'"),
        ({"name": "a", "either": {"rps": 0}}, "x.yml: either.rps must be above 0, got 0"),
        ([1, 2], "x.yml: the content must be a mapping, got [1, 2]"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(data, sentence):
    with pytest.raises(SpilloverError) as caught:
        parse(Outer, data, source="x.yml")
    assert str(caught.value) == sentence


def test_a_file_is_read_as_what_it_is(tmp_path):
    (tmp_path / "file").write_text('{"é": [1.5, null]}', encoding="utf-8")
    assert read_text(tmp_path / "file") == '{"é": [1.5, null]}'
    assert read_json(tmp_path / "file") == read_yaml(tmp_path / "file") == {"é": [1.5, None]}


@pytest.mark.parametrize("read", [read_text, read_json, read_yaml])
def test_a_file_that_cannot_be_read_is_named(tmp_path, read):
    with pytest.raises(SpilloverError) as caught:
        read(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'} cannot be read: No such file or directory"
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(SpilloverError) as caught:
        read(tmp_path / "latin")
    assert str(caught.value) == f"{tmp_path / 'latin'} is not UTF-8 text (byte 3)"


@pytest.mark.parametrize(
    ("read", "text", "kind"),
    [
        (read_json, "{", "JSON"),
        (read_json, "[" * 100_000, "JSON"),
        (read_json, "9" * 5000, "JSON"),
        (read_yaml, "a: [\n", "YAML"),
        (read_yaml, "\x00", "YAML"),
        (read_yaml, "2026-13-45", "YAML"),
        (read_yaml, "[" * 10_000, "YAML"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, read, text, kind):
    (tmp_path / "file").write_text(text)
    with pytest.raises(SpilloverError, match=rf"file is not {kind}: .") as caught:
        read(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_json_are_refused():
    with pytest.raises(SpilloverError, match=r"^standard input is not JSON: "):
        parse_json(b"\xff{", source="standard input")
