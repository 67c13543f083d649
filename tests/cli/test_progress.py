from spillover.cli.progress import progress_bars


def test_each_bar_shows_its_name_and_what_is_done_on_standard_error(capsys):
    with progress_bars() as bar:
        first, second = bar("standard"), bar("step")
        first(0, 3)
        second(5, 7)
        first(2, 3)
    out, error = capsys.readouterr()
    standard, step = error.splitlines()
    assert standard.startswith("standard ")
    assert "2/3" in standard
    assert "5/7" in step
    assert out == ""
