import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from spillover.model import SpilloverError
from spillover.validation import parse


class Inner(BaseModel):
    rps: float = Field(gt=0)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    parts: list[Inner] = []

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
        ({"name": "a", "parts": [{"rps": -1}]}, "x.yml: parts.0.rps must be greater than 0, got -1"),
        ({"name": 5}, "x.yml: name must be a valid string, got 5"),
        ({"name": ""}, "x.yml: name must have at least 1 character, got ''"),
        ({}, "x.yml: name is missing"),
        ({"name": "a", "nmae": "b"}, "x.yml: nmae is not a known field"),
        ({"name": "odd"}, "x.yml: name must not be odd, got 'odd'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(data, sentence):
    with pytest.raises(SpilloverError) as caught:
        parse(Outer, data, source="x.yml")
    assert str(caught.value) == sentence


def test_data_of_another_kind_are_refused():
    with pytest.raises(SpilloverError, match=r"^x\.yml: the content must be"):
        parse(Outer, [1, 2], source="x.yml")
