"""From picture bytes of any common format to RGB pixels; unusable pictures raise an error with a reason."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

PICTURE_VERSION = 1  # raise it when the same bytes would give other pixels
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
DRAFT_FACTOR = 2  # JPEGs are decoded at no less than this multiple of the size they are then resized to
MAX_ASPECT = 4  # beyond this, the middle is cut out before resizing: a centre crop never shows the rest

Pixels = NDArray[np.uint8]


class BadContentError(Exception):
    """Content that cannot be encoded: `reason` is one of a few phrases, `detail` the decoder's own words."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class UnreachableFileError(BadContentError):
    """The file cannot be read; nothing is known about its bytes."""


@dataclass(frozen=True)
class ResizeCrop:
    """Resize the short side to `resize` pixels, then cut `crop` x `crop` out of the middle."""

    resize: int
    crop: int
    interpolation: str = "bilinear"

    def spec(self) -> dict[str, Any]:
        """What decides the pixels, for the store's key."""
        return {
            **asdict(self),
            "version": PICTURE_VERSION,
            "draft_factor": DRAFT_FACTOR,
            "max_aspect": MAX_ASPECT,
        }


@dataclass(frozen=True)
class PicturePreparation:
    """How an encoder wants its pictures: `prepare` gives uint8 pixels of `shape`, (3, H, W).

    `mean` and `std`, of pixels between 0 and 1, are applied on the encoder's device.
    """

    prepare: Callable[[bytes], Pixels]
    shape: tuple[int, ...]
    mean: list[float]
    std: list[float]
    spec: dict[str, Any]


def read_pixels(content: bytes, resize_crop: ResizeCrop) -> Pixels:
    """Decode, turn upright, resize and crop: (3, crop, crop) uint8, channels last in memory.

    Raises BadContentError.
    """
    return _fit(read_rgb(content, resize_crop.resize), resize_crop)


def read_rgb(content: bytes, short_side: int) -> Image.Image:
    """Decode and turn upright, in no more detail than resizing the short side to `short_side` needs.

    Raises BadContentError for anything that is no whole picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            return _decode(picture, DRAFT_FACTOR * short_side)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadContentError("too many pixels", f"more than {MAX_PIXELS:,}") from None
    except UnidentifiedImageError:
        raise BadContentError("not a picture", f"begins with {content[:8]!r}") from None
    except Exception as error:  # noqa: BLE001 - decoders raise whatever their format's parser hits
        raise BadContentError("damaged picture", f"{type(error).__name__}: {error}") from None


def _decode(picture: Image.Image, wanted: int) -> Image.Image:
    """The first frame, upright, in RGB; transparency becomes white, as on a shop's page."""
    short = min(picture.size)
    if short > wanted:
        scale = wanted / short
        # A JPEG can be decoded at a half, a quarter or an eighth of its size, which is
        # faster; no less than `wanted`.
        picture.draft("RGB", (round(picture.width * scale), round(picture.height * scale)))
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "RGB":
        return upright
    if upright.mode.startswith("I"):
        return _eight_bit(upright).convert("RGB")
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(background, rgba).convert("RGB")
    return upright.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8; PIL's own conversion clips everything above 255 to white."""
    grey = np.asarray(picture).astype(np.float64) / 65535
    return Image.fromarray((np.clip(grey, 0, 1) * 255).round().astype(np.uint8))


def _fit(picture: Image.Image, resize_crop: ResizeCrop) -> Pixels:
    short, long = sorted(picture.size)
    if long > MAX_ASPECT * short:
        picture = _middle(
            picture, min(picture.width, MAX_ASPECT * short), min(picture.height, MAX_ASPECT * short)
        )
    width, height = picture.size
    short = min(width, height)
    # The short side becomes `resize`, the long one in proportion, rounded down as torchvision does.
    size = (int(resize_crop.resize * width / short), int(resize_crop.resize * height / short))
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling[resize_crop.interpolation.upper()])
    picture = _middle(picture, resize_crop.crop, resize_crop.crop)
    # (H, W, 3) seen as (3, H, W): the bytes stay where they are.
    return np.array(picture, dtype=np.uint8).transpose(2, 0, 1)


def _middle(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Cut the middle out, rounding as torchvision's centre crop does."""
    left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
    return picture.crop((left, top, left + width, top + height))
