"""Writes small pictures in every form the decoders must read, manifest.json, and broken files.

Run: ``python make_images.py`` (Pillow and numpy, pinned in ../requirements.txt). No randomness.

The rule from any file to 8-bit RGB, which manifest.json's figures follow:

1. 16-bit samples become 8-bit by ``v >> 8`` (alpha too); samples below 8 bits are scaled to 0..255.
2. Grey is repeated in the three channels; palettes are looked up; CMYK is Pillow's conversion
   (``R = round((255-C)*(255-K)/255)`` on the non-inverted values, and so on), no colour profile.
3. Alpha, a palette's transparency and a transparent colour key are flattened over white:
   ``round((v*a + 255*(255-a)) / 255)``, in the file's own (not linearised) values.
4. The EXIF orientation is applied last; a value outside 1..8 is ignored.
"""

import hashlib
import io
import json
import struct
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps, features
from png import chunk, header, png

HERE = Path(__file__).parent


def picture(width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]: a different slope in each channel, a red and a black-white mark off the centre."""
    y, x = np.mgrid[0:height, 0:width]
    r, g, b = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x * 3 + y * 7) % 256
    out = np.stack([r, g, b], axis=-1).astype(np.uint8)
    out[: height // 3, : width // 4] = (220, 30, 10)
    out[height // 2 :, width - width // 5 :] = np.where((x + y) % 2, 255, 0)[height // 2 :, width - width // 5 :, None]
    return out


def alpha(width: int, height: int) -> np.ndarray:
    """uint8 [height, width]: every level from 0 to 255, both ends present."""
    y, x = np.mgrid[0:height, 0:width]
    return ((x + y * width) * 255 // (width * height - 1)).astype(np.uint8)


def flatten(rgba: np.ndarray) -> np.ndarray:
    v, a = rgba[..., :3].astype(np.int64), rgba[..., 3:].astype(np.int64)
    return ((v * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)  # 255 is odd: no ties to settle


def expected(data: bytes) -> np.ndarray:
    """The rule above, by Pillow: uint8 [height, width, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        elif "A" in image.getbands() or "transparency" in image.info:
            oriented = ImageOps.exif_transpose(image.convert("RGBA"))
            rgb = flatten(np.asarray(oriented))
            white = Image.new("RGB", oriented.size, (255, 255, 255))
            white.paste(oriented, mask=oriented.getchannel("A"))
            assert np.array_equal(np.asarray(white), rgb)
            return rgb
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def orientation(value: int, big_endian: bool = False) -> bytes:
    exif = Image.Exif()
    exif.endian = ">" if big_endian else "<"
    exif[0x0112] = value
    return exif.tobytes()


def jpegs() -> dict[str, bytes]:
    rgb = Image.fromarray(picture(45, 31))
    files = {
        "jpeg-444.jpg": saved(rgb, "JPEG", quality=92, subsampling=0),
        "jpeg-422.jpg": saved(rgb, "JPEG", quality=90, subsampling=1),
        "jpeg-420.jpg": saved(rgb, "JPEG", quality=88, subsampling=2),
        "jpeg-grey.jpg": saved(rgb.convert("L"), "JPEG", quality=90),
        "jpeg-progressive.jpg": saved(rgb, "JPEG", quality=85, progressive=True),
        "jpeg-restart.jpg": saved(rgb, "JPEG", quality=90, restart_marker_blocks=2),
        "jpeg-rgb.jpg": saved(rgb, "JPEG", quality=90, keep_rgb=True),
        "jpeg-cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG", quality=92),
        "jpeg-1x1.jpg": saved(Image.fromarray(picture(1, 1)), "JPEG", quality=90),
    }
    small = Image.fromarray(picture(12, 8))
    for value in range(1, 9):  # both byte orders occur in the field
        data = saved(small, "JPEG", quality=95, subsampling=0, exif=orientation(value, value % 2 == 0))
        files[f"jpeg-orientation-{value}.jpg"] = data
    files["jpeg-orientation-9.jpg"] = saved(small, "JPEG", quality=95, subsampling=0, exif=orientation(9))
    return files


def pngs() -> dict[str, bytes]:
    w, h = 21, 13
    rgb, a = picture(w, h), alpha(w, h)
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    rgba = np.dstack([rgb, a])
    # the low bytes differ from the high ones, so that v>>8 and round(v/257) give different results
    low = (np.arange(w * h).reshape(h, w) * 37 % 256).astype(np.uint16)

    def wide(samples: np.ndarray) -> np.ndarray:
        return samples.astype(np.uint16) * 256 + low.reshape(h, w, *[1] * (samples.ndim - 2))

    palette = Image.fromarray(rgb).quantize(16)
    key = struct.pack(">HHH", *map(int, rgb[0, 0]))
    return {
        "png-rgb.png": saved(Image.fromarray(rgb), "PNG"),
        "png-rgba.png": saved(Image.fromarray(rgba), "PNG"),
        "png-grey.png": saved(Image.fromarray(grey), "PNG"),
        "png-grey-alpha.png": saved(Image.fromarray(np.dstack([grey, a]), "LA"), "PNG"),
        "png-palette.png": saved(palette, "PNG"),
        "png-palette-alpha.png": saved(palette, "PNG", transparency=bytes(range(0, 256, 17))),
        "png-rgb-key.png": png(rgb, 8, 2, extra=chunk(b"tRNS", key)),
        "png-grey-key.png": png(grey[..., None], 8, 0, extra=chunk(b"tRNS", struct.pack(">H", int(grey[0, 0])))),
        "png-grey-1bit.png": png((grey[..., None] > 127).astype(np.uint8), 1, 0),
        "png-grey-2bit.png": png(grey[..., None] >> 6, 2, 0),
        "png-grey-4bit.png": png(grey[..., None] >> 4, 4, 0),
        "png-grey-16bit.png": png(wide(grey[..., None]), 16, 0),
        "png-rgb-16bit.png": png(wide(rgb), 16, 2),
        "png-rgba-16bit.png": png(wide(rgba), 16, 6),
        "png-interlaced.png": png(rgb, 8, 2, interlace=True),
        "png-interlaced-1bit.png": png((grey[..., None] > 127).astype(np.uint8), 1, 0, interlace=True),
        "png-interlaced-1x1.png": png(picture(1, 1), 8, 2, interlace=True),
        "png-orientation-6.png": saved(Image.fromarray(rgb), "PNG", exif=orientation(6)),
    }


def webps_and_avifs() -> dict[str, bytes]:
    w, h = 37, 26
    rgb, rgba = Image.fromarray(picture(w, h)), Image.fromarray(np.dstack([picture(w, h), alpha(w, h)]))
    files = {
        "webp-lossy.webp": saved(rgb, "WEBP", quality=80),
        "webp-lossy-alpha.webp": saved(rgba, "WEBP", quality=80),
        "webp-lossless.webp": saved(rgb, "WEBP", lossless=True),
        "webp-lossless-alpha.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "webp-orientation-8.webp": saved(rgb, "WEBP", lossless=True, exif=orientation(8)),
    }
    if features.check("avif"):
        files["avif-444.avif"] = saved(rgb, "AVIF", quality=90, subsampling="4:4:4")
        files["avif-420.avif"] = saved(rgb, "AVIF", quality=80, subsampling="4:2:0")
        files["avif-alpha.avif"] = saved(rgba, "AVIF", quality=90, subsampling="4:4:4")
    return files


def broken(good: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    def cut(name: str, part: float) -> bytes:
        return good[name][: int(len(good[name]) * part)]

    sof = good["jpeg-444.jpg"].index(b"\xff\xc0")
    size = struct.pack(">HH", 65500, 65500)
    huge_jpeg = good["jpeg-444.jpg"][: sof + 5] + size + good["jpeg-444.jpg"][sof + 9 :]
    flipped = bytearray(good["png-rgb.png"])
    flipped[flipped.index(b"IDAT") + 40] ^= 0xFF
    tail = chunk(b"IDAT", b"\x78\x9c\x03\x00\x00\x00\x00\x01") + chunk(b"IEND", b"")
    gif = saved(Image.fromarray(picture(9, 7)).quantize(8), "GIF")
    return {
        "truncated.jpg": (cut("jpeg-420.jpg", 0.75), "the scan stops part of the way"),
        "truncated-header.jpg": (good["jpeg-444.jpg"][: sof + 6], "stops inside the frame header"),
        "truncated.png": (cut("png-rgb.png", 0.6), "stops inside IDAT"),
        "truncated.webp": (cut("webp-lossless.webp", 0.5), "stops inside the bitstream"),
        "truncated.avif": (cut("avif-444.avif", 0.6) if "avif-444.avif" in good else b"", "stops inside mdat"),
        "corrupt.png": (bytes(flipped), "a byte of IDAT is flipped: the checksum is wrong"),
        "notanimage.bin": (b"This is text, not a picture.\n" * 8, "no image signature"),
        "empty.bin": (b"", "no bytes at all"),
        "signature-only.png": (b"\x89PNG\r\n\x1a\n", "a PNG signature and nothing after it"),
        "zero-size.png": (header(0, 0, 8, 2) + tail, "the header says 0x0"),
        "huge.png": (header(20000, 20000, 8, 2) + tail, "the header says 20000x20000 (400 megapixels)"),
        "huge.jpg": (huge_jpeg, "the header says 65500x65500 (4290 megapixels)"),
        "unsupported.gif": (gif, "a sound GIF: not one of the formats read"),
    }


# Lossy decoders that follow the reference library give Pillow's bytes exactly; others may differ by this much.
LOSSY = {
    "jpeg": (0, "libjpeg-turbo and libjpeg (islow IDCT, fancy upsampling) agree exactly; another IDCT may differ"),
    "webp": (0, "libwebp with its default fancy upsampling agrees exactly"),
    "avif": (3, "YUV to RGB differs between libyuv, libavif's own and a compositor's conversion"),
}


def main() -> None:
    good = jpegs() | pngs() | webps_and_avifs()
    bad = broken(good)
    entries: list[dict[str, object]] = []
    for name, data in good.items():
        rgb = expected(data)
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
        kind = name.split("-")[0]
        lossless = kind == "png" or "webp-lossless" in name or "webp-orientation" in name
        entry: dict[str, object] = {"file": name, "width": rgb.shape[1], "height": rgb.shape[0], "mode": mode}
        entry |= {"lossless": lossless, "sha256": hashlib.sha256(rgb.tobytes()).hexdigest()}
        if not lossless:  # the bytes themselves, so that a difference can be measured
            rgb_name = name.rsplit(".", 1)[0] + ".rgb"
            (HERE / rgb_name).write_bytes(rgb.tobytes())
            entry |= {"rgb": rgb_name, "maxDifference": LOSSY[kind][0], "note": LOSSY[kind][1]}
            if "cmyk" in name:
                entry |= {"maxDifference": 2, "note": "no profile in the file: a decoder that assumes one differs more"}
        entries.append(entry)
    for name, data in (good | {n: d for n, (d, _) in bad.items()}).items():
        assert len(data) < 20_000
        (HERE / name).write_bytes(data)
    manifest = {
        "made_by": f"make_images.py, Pillow {PIL.__version__}",
        "rule": [line.strip() for line in (__doc__ or "").split("\n\n", 2)[2].splitlines() if line],
        "images": entries,
        "broken": [{"file": n, "why": why} for n, (_, why) in bad.items()],
    }
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{len(good)} pictures, {len(bad)} broken files, {sum(map(len, good.values()))} bytes")


if __name__ == "__main__":
    main()
