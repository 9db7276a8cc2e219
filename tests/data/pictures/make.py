"""Writes small pictures in the formats that are read, with the pixels that Pillow finds in them, and resized ones.

Pillow 13.0.0: pip install pillow==13.0.0 numpy
"""

import io
import json
import pathlib
import struct

import numpy as np
from PIL import Image


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x * 7 + y * 11) % 256], 2)
                           .astype(np.uint8))


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def with_adobe_transform(jpeg, transform):
    """Puts a segment of Adobe after that of JFIF."""
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:end] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + jpeg[end:]


def with_runs(image, bits):
    """A BMP of a picture with a palette, run-length encoded: half of each row as it is, and half as runs."""
    pixels = bytearray()
    for row in np.asarray(image)[::-1].tolist():
        half = len(row) // 4 * 2
        written = bytes(row[:half]) if bits == 8 else bytes(a << 4 | b for a, b in zip(row[:half:2], row[1:half:2]))
        pixels += bytes([0, half]) + written + b"\0" * (len(written) % 2)
        pixels += b"".join(bytes([1, index if bits == 8 else index << 4]) for index in row[half:]) + b"\0\0"
    pixels += b"\0\1"
    colours = np.zeros((1 << bits, 4), np.uint8)
    palette = np.array(image.getpalette()[:3 << bits], np.uint8).reshape(-1, 3)
    colours[:len(palette), :3] = palette[:, ::-1]
    start, packing = 54 + colours.nbytes, {8: 1, 4: 2}[bits]
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, *image.size, 1, bits, packing, len(pixels), 0, 0, 1 << bits, 0)
    return head + info + colours.tobytes() + bytes(pixels)


def main():
    image, grey = picture(13, 9), picture(13, 9).convert("L")
    ramp = np.linspace(40, 200, 16).astype(np.uint8)[None, :, None] // np.array([1, 2, 3], np.uint8)
    smooth = Image.fromarray(np.tile(ramp, (16, 1, 1)))
    jpeg = saved(smooth, format="JPEG", quality=95, subsampling=0)
    video = b"\x00\x00\x00\x18ftypmp42" + b"film \xff\xda\xff\xd9\xff\xc4\x00\x03film" * 3
    half = Image.new("RGBA", (13, 9))
    half.paste(image, (0, 0))
    half.putalpha(128)
    files = {
        "lossless.webp": saved(image, format="WEBP", lossless=True),
        "lossy.webp": saved(image, format="WEBP", quality=90),
        "alpha.webp": saved(half, format="WEBP", lossless=True, exact=True),
        "animated.webp": saved(image, format="WEBP", lossless=True, save_all=True, append_images=[image.rotate(180)]),
        "colour.bmp": saved(image, format="BMP"),
        "alpha.bmp": saved(half, format="BMP"),
        "palette.bmp": saved(image.quantize(16), format="BMP"),
        "grey.bmp": saved(grey, format="BMP"),
        "bits.bmp": saved(grey.convert("1"), format="BMP"),
        "runs.8.bmp": with_runs(image.quantize(200), 8),
        "runs.4.bmp": with_runs(image.quantize(16), 4),
        "palette.gif": saved(image.quantize(16), format="GIF"),
        "animated.gif": saved(image.quantize(16), format="GIF", save_all=True,
                              append_images=[image.rotate(180).quantize(16)]),
        "interlaced.gif": saved(image.quantize(16), format="GIF", interlace=1),
        "adobe.jpg": with_adobe_transform(jpeg, 0),
        "subsampled.jpg": saved(smooth, format="JPEG", quality=75, subsampling=2),
        "motion.jpg": jpeg + video,
        "motion.progressive.jpg": saved(smooth, format="JPEG", quality=95, progressive=True) + video,
    }
    read = {}
    for name, content in files.items():
        found = Image.open(io.BytesIO(content)).convert("RGB")
        read[name] = {"file": content.hex(), "size": found.size, "pixels": found.tobytes().hex()}
    resized = []
    for mode in ("RGB", "L"):
        for height, width in ((5, 4), (9, 30), (20, 13), (1, 1), (7, 26), (4, 12), (2, 40), (30, 6)):
            small = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
            resized.append({"channels": len(small.getbands()), "height": height, "width": width,
                            "pixels": small.tobytes().hex()})
    here = pathlib.Path(__file__).parent
    data = {"read": read, "source": {"size": image.size, "png": saved(image, format="PNG").hex()}, "resized": resized}
    (here / "pictures.json").write_text(json.dumps(data, separators=(",", ":")) + "\n")


main()
