from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from spillover.tokens import Claims, claims_of

SUBJECT = "system:serviceaccount:apps:robot"


def token(claims: Any) -> str:
    return f"head.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


def test_a_token_says_whose_it_is_and_until_when() -> None:
    assert claims_of(token({"sub": SUBJECT, "exp": 1790000000})) == Claims("apps", "robot", 1790000000.0)
    assert claims_of(token({"sub": SUBJECT})) == Claims("apps", "robot", None)


@pytest.mark.parametrize(
    "other",
    [
        "",
        "one-word",
        "a.b",
        "a.%%%.c",
        "a.bm90IGpzb24.c",
        token([]),
        token({}),
        token({"sub": 7}),
        token({"sub": "someone"}),
        token({"sub": "system:node:apps:robot"}),
        token({"sub": SUBJECT, "exp": "later"}),
    ],
)
def test_anything_else_is_no_service_accounts_token(other: str) -> None:
    assert claims_of(other) is None
