import socket

import pytest

from loadtest.targets import allowed_url, resolve_host
from spillover.model import SpilloverError


@pytest.mark.parametrize(
    ("url", "pinned"),
    [
        ("http://198.19.0.11:30080", "http://198.19.0.11:30080"),
        ("http://198.18.0.0", "http://198.18.0.0:80"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_lab_and_loopback_are_allowed(url, pinned):
    assert allowed_url(url) == pinned


def test_a_name_is_pinned_to_the_address_that_was_checked():
    assert allowed_url("http://edge1.example:30080", lambda _: ["198.19.0.11"]) == "http://198.19.0.11:30080"


def test_localhost_resolves_to_loopback():
    assert "127.0.0.1" in resolve_host("localhost")


@pytest.mark.parametrize("address", ["198.20.0.1", "198.17.255.255", "10.0.0.1", "0.0.0.0", "::2", "::ffff:10.0.0.1"])
def test_any_other_address_is_refused(address):
    url = f"http://[{address}]:80" if ":" in address else f"http://{address}:80"
    with pytest.raises(SpilloverError, match=r"^load goes only to 198\.18\.0\.0/15, 127\.0\.0\.0/8, ::1/128, and "):
        allowed_url(url)


def test_a_name_with_one_address_outside_the_lab_is_refused():
    with pytest.raises(SpilloverError, match=r"is 192\.0\.2\.1$"):
        allowed_url("http://edge1.example:80", lambda _: ["198.19.0.11", "192.0.2.1"])


def test_an_unknown_name_is_refused():
    def resolve(_host):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(SpilloverError, match="must name a host that can be resolved"):
        allowed_url("http://nowhere.example:80", resolve)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:80",
        "127.0.0.1:80",
        "http://127.0.0.1:80/path",
        "http://127.0.0.1:80?x=1",
        "http://user@127.0.0.1:80",
        "http://",
        "http://127.0.0.1:99999",
    ],
)
def test_a_url_of_another_form_is_refused(url):
    with pytest.raises(SpilloverError, match=r"^url must .* got '"):
        allowed_url(url)
