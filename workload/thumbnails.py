"""The work itself: a thumbnail of an image. Pure, and the only import of Pillow."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_WIDTH = 2048
JPEG_QUALITY = 85


class ImageError(ValueError):
    """The body cannot be made into a thumbnail; the message is one sentence for the client."""


class UnknownFormatError(ImageError):
    """The body is not an image of a known format."""


class BrokenImageError(ImageError):
    """The body begins like an image but cannot be decoded."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than the service decodes."""


def make_thumbnail(image: bytes, width: int, max_pixels: int) -> bytes:
    """Scale an image down to `width` pixels, keeping its proportions.

    Parameters
    ----------
    image
        An encoded image, one of `FORMATS`.
    width
        Width of the thumbnail in pixels, 1 to `MAX_WIDTH`. A narrower image keeps its own width.
    max_pixels
        Width times height above which the image is not decoded.

    Returns
    -------
    bytes
        The thumbnail as a JPEG.

    Raises
    ------
    UnknownFormatError, BrokenImageError, ImageTooLargeError
        With one sentence that can be shown to the client.
    """
    try:
        source = Image.open(io.BytesIO(image), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnknownFormatError(f"The body must be an image of format {', '.join(FORMATS)}.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BrokenImageError(f"The image cannot be read: {error}.") from error
    with source:
        if source.width * source.height > max_pixels:
            raise ImageTooLargeError(
                f"The image may have {max_pixels} pixels at most, got {source.width} x {source.height}."
            )
        target_width = min(width, source.width)
        target_height = max(1, round(source.height * target_width / source.width))
        try:
            # The whole image is decoded and filtered: letting the decoder skip (Image.draft) would save the very work
            # that this service is there to do.
            small = source.convert("RGB").resize((target_width, target_height), Image.Resampling.LANCZOS)
        except (OSError, ValueError, SyntaxError) as error:
            raise BrokenImageError(f"The image cannot be decoded: {error}.") from error
    out = io.BytesIO()
    small.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
