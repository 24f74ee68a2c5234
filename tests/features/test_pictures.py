import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tssr.features.pictures import BadContentError, ResizeCrop, read_pixels

SMALL = ResizeCrop(resize=32, crop=24)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width, height, mode="RGB", seed=0):
    channels = len(mode) if mode in ("RGB", "RGBA", "CMYK", "LA") else 1
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode)


def flat(colour, mode="RGB", size=(50, 40)):
    return Image.new(mode, size, colour)


def refusal(content):
    with pytest.raises(BadContentError) as caught:
        read_pixels(content, SMALL)
    return caught.value


@settings(max_examples=60, deadline=None)
@given(
    st.integers(8, 90),
    st.integers(8, 90),
    st.sampled_from([(32, 24), (24, 24), (33, 20)]),
    st.sampled_from(["bilinear", "bicubic"]),
)
def test_pixels_are_those_of_torchvision(width, height, sizes, interpolation):
    """Up to MAX_ASPECT; beyond it the middle is cut first."""
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

    if max(width, height) > 4 * min(width, height):
        width = height
    image = noise(width, height)
    resized = F.resize(image, [sizes[0]], InterpolationMode(interpolation), antialias=True)
    expected = F.pil_to_tensor(F.center_crop(resized, [sizes[1]]))
    found = read_pixels(encoded(image), ResizeCrop(*sizes, interpolation))
    assert torch.equal(torch.from_numpy(found), expected)


def test_a_large_jpeg_is_decoded_small_with_almost_the_same_pixels():
    smooth = noise(6, 8).resize((900, 1200), Image.Resampling.BICUBIC)
    jpeg = encoded(smooth, "JPEG", quality=90)
    found = read_pixels(jpeg, ResizeCrop(64, 56)).astype(int)
    exact = read_pixels(encoded(Image.open(io.BytesIO(jpeg))), ResizeCrop(64, 56)).astype(int)
    assert np.abs(found - exact).max() <= 4


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (60, 40), "black")
    image.paste("white", (0, 0, 30, 40))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: the left half is on top
    pixels = read_pixels(encoded(image, "JPEG", exif=exif, quality=95), SMALL)
    assert pixels[:, :8].min() > 200
    assert pixels[:, -8:].max() < 50


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_bilevel_and_palette_become_rgb(mode):
    pixels = read_pixels(encoded(flat("white").convert(mode)), SMALL)
    assert pixels.shape == (3, 24, 24)
    assert pixels.min() == 255


def test_cmyk_is_converted():
    pixels = read_pixels(encoded(flat((0, 255, 255, 0), "CMYK"), "JPEG", quality=95), SMALL)
    red, green, blue = pixels.reshape(3, -1).mean(axis=1)
    assert red > 200
    assert max(green, blue) < 60


def test_transparency_becomes_white():
    assert read_pixels(encoded(flat((0, 0, 0, 0), "RGBA")), SMALL).min() == 255
    grey = flat((0, 0), "LA")
    assert read_pixels(encoded(grey), SMALL).min() == 255
    palette = flat("red").convert("P")
    red = palette.getpixel((0, 0))
    assert read_pixels(encoded(palette, transparency=red), SMALL).min() == 255


def test_sixteen_bit_grey_keeps_its_shades():
    values = np.full((40, 50), 128 * 257, dtype=np.uint16)
    pixels = read_pixels(encoded(Image.fromarray(values)), SMALL)
    assert (pixels == 128).all()


def test_animated_gif_gives_its_first_frame():
    frames = [flat("red"), flat("blue")]
    pixels = read_pixels(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), SMALL)
    np.testing.assert_array_equal(pixels[:, 0, 0], [255, 0, 0])


def test_the_extension_does_not_matter_the_bytes_do():
    assert read_pixels(encoded(flat("lime"), "WEBP", lossless=True), SMALL)[:, 3, 3].tolist() == [0, 255, 0]


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000), (3, 1)])
def test_extreme_shapes_are_encoded(size):
    pixels = read_pixels(encoded(flat((10, 200, 30), size=size)), SMALL)
    assert pixels.shape == (3, 24, 24)
    np.testing.assert_array_equal(pixels.reshape(3, -1).T, np.tile([10, 200, 30], (24 * 24, 1)))


def test_a_long_picture_shows_its_middle():
    image = Image.new("RGB", (2000, 20), "black")
    image.paste("white", (960, 0, 1040, 20))
    assert read_pixels(encoded(image), SMALL).min() == 255


def test_truncated_pictures_are_refused():
    for kind in ("JPEG", "PNG"):
        whole = encoded(noise(200, 200), kind)
        error = refusal(whole[: len(whole) // 2])
        assert error.reason == "damaged picture"
        assert "truncated" in error.detail


def test_what_is_no_picture_is_refused():
    for content in (b"", b"\0" * 100, b"<html>not found</html>"):
        error = refusal(content)
        assert error.reason == "not a picture"
        assert error.detail == f"begins with {content[:8]!r}"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_refused_by_their_pixel_count(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr("tssr.features.pictures.MAX_PIXELS", 1000)
    for size in ((40, 40), (100, 100)):  # above the limit, and above twice the limit
        error = refusal(encoded(flat("red", size=size)))
        assert (error.reason, error.detail) == ("too many pixels", "more than 1,000")
    assert read_pixels(encoded(flat("red", size=(30, 30))), SMALL).any()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_flipped_bytes_never_escape_as_another_error(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
    content = bytearray(encoded(noise(20, 20), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(BadContentError):
            assert read_pixels(bytes(content), SMALL).shape == (3, 24, 24)
