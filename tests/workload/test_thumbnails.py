import io
from pathlib import Path

import pytest
from PIL import Image

from workload.thumbnails import (
    BrokenImageError,
    ImageTooLargeError,
    UnknownFormatError,
    make_thumbnail,
)

PHOTO = (Path(__file__).parents[2] / "loadtest/images/rocket.jpg").read_bytes()
PIXELS = 24_000_000


def encoded(size, image_format="PNG", mode="RGB"):
    out = io.BytesIO()
    Image.new(mode, size).save(out, image_format)
    return out.getvalue()


def size_of(image):
    with Image.open(io.BytesIO(image), formats=("JPEG",)) as opened:
        return opened.size


def test_the_photo_of_the_load_keeps_its_proportions():
    assert size_of(make_thumbnail(PHOTO, 128, PIXELS)) == (128, 85)


def test_the_thumbnail_shows_the_photo():
    thumbnail = Image.open(io.BytesIO(make_thumbnail(PHOTO, 100, PIXELS)))
    wanted = Image.open(io.BytesIO(PHOTO)).resize(thumbnail.size, Image.Resampling.BOX)
    distance = sum(abs(a - b) for a, b in zip(thumbnail.tobytes(), wanted.tobytes(), strict=True))
    assert distance / len(wanted.tobytes()) < 8


@pytest.mark.parametrize(("image_format", "mode"), [("PNG", "RGBA"), ("PNG", "L"), ("JPEG", "CMYK"), ("WEBP", "RGB")])
def test_other_formats_and_modes_become_a_jpeg_too(image_format, mode):
    assert size_of(make_thumbnail(encoded((64, 32), image_format, mode), 32, PIXELS)) == (32, 16)


def test_a_small_image_is_not_enlarged():
    assert size_of(make_thumbnail(encoded((20, 10)), 2048, PIXELS)) == (20, 10)


def test_a_very_flat_image_keeps_one_row():
    assert size_of(make_thumbnail(encoded((4000, 1)), 10, PIXELS)) == (10, 1)


@pytest.mark.parametrize("body", [b"hello", b"GIF89a" + bytes(100), b"\xff\xd8\xff"])
def test_a_body_that_is_no_known_image_is_refused(body):
    with pytest.raises(UnknownFormatError):
        make_thumbnail(body, 128, PIXELS)


def test_a_truncated_image_is_refused():
    with pytest.raises(BrokenImageError):
        make_thumbnail(PHOTO[:20_000], 128, PIXELS)


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(ImageTooLargeError, match="100 pixels at most, got 20 x 10"):
        make_thumbnail(encoded((20, 10)), 10, 100)
