import pytest

from workload.settings import Settings, SettingsError


def test_an_empty_environment_gives_the_defaults():
    assert Settings.from_environ({}) == Settings()


def test_every_variable_is_read():
    environ = {
        "SITE_NAME": "edge1",
        "HOST": "127.0.0.1",
        "PORT": "9000",
        "WORKERS": "2",
        "MAX_BODY_BYTES": "1000",
        "MAX_PIXELS": "2000",
        "PROTOCOL": "grpc",
        "DRAIN_S": "0",
    }
    assert Settings.from_environ(environ) == Settings("edge1", "127.0.0.1", 9000, 2, 1000, 2000, "grpc", 0)


def test_a_protocol_that_it_does_not_speak_is_named():
    with pytest.raises(SettingsError, match=r"^PROTOCOL must be one of http, grpc, got 'smtp'$"):
        Settings.from_environ({"PROTOCOL": "smtp"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORKERS", "0"), ("WORKERS", "two"), ("WORKERS", "-1"), ("PORT", "70000"), ("MAX_BODY_BYTES", "8MiB")],
)
def test_a_value_that_cannot_be_used_is_named(name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must be a whole number .* got '{value}'$"):
        Settings.from_environ({name: value})
