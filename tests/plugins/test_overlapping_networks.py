from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

PLUGIN = Path(__file__).parents[2] / "plugins/filter/overlapping_networks.py"
overlapping_networks = runpy.run_path(str(PLUGIN))["FilterModule"]().filters()["overlapping_networks"]

RANGE = "198.18.0.0/15"


@pytest.mark.parametrize(
    "network", ["198.18.0.0/24", "198.19.255.255", "198.18.0.0/15", "198.0.0.0/8", "198.16.0.0/12", "0.0.0.0/0"]
)
def test_network_that_shares_addresses_is_returned_as_given(network: str) -> None:
    assert overlapping_networks([network], RANGE) == [network]


@pytest.mark.parametrize("network", ["198.17.255.255", "198.20.0.0/16", "192.0.2.0/24", "fd00::/64", "default", ""])
def test_network_that_shares_none_is_left_out(network: str) -> None:
    assert overlapping_networks([network], RANGE) == []


def test_range_that_is_no_network_is_an_error_that_shows_it() -> None:
    with pytest.raises(AnsibleFilterError, match=r"address_range must be a network, got '198\.18\.0\.0/99'"):
        overlapping_networks([], "198.18.0.0/99")
