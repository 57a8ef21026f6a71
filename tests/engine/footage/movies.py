"""Small real movies for the tests, made by an encoder."""

from fractions import Fraction

import av
import numpy as np


def picture(number, width=96, height=64):
    """A frame that tells its number (grey of the lower half) and its orientation (red top-left quarter)."""
    image = np.full((height, width, 3), grey(number), dtype=np.uint8)
    image[: height // 2] = 128
    image[: height // 2, : width // 2] = (200, 40, 40)
    return image


def grey(number):
    return 20 + 7 * (number % 30)


def number_of(image):
    """Which of :func:`picture`'s frames this is, modulo 30; upright images only."""
    h, w = image.shape[:2]
    return round((float(image[int(0.6 * h) : int(0.95 * h), w // 4 : 3 * w // 4].mean()) - 20) / 7)


def write_movie(
    path,
    count=20,
    size=(96, 64),
    codec="libx264",
    pix_fmt="yuv420p",
    rate=25,
    options=None,
    stamps=None,
    rotation=0,
    aspect=None,
    frame=picture,
    tags=None,
    audio=False,
):
    """Encode ``frame(i, w, h)``; ``stamps`` are presentation times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if tags:
            stream.codec_context.colorspace, stream.codec_context.color_range = tags
        sound = container.add_stream("aac", rate=44100) if audio else None
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(count):
            shown = av.VideoFrame.from_ndarray(frame(i, *size), format="rgb24")
            if tags:
                shown = shown.reformat(format=pix_fmt, dst_colorspace=tags[0], dst_color_range=tags[1])
            if stamps is not None:
                shown.pts, shown.time_base = stamps[i], Fraction(1, 1000)
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
        if sound:
            for packet in silence(sound, 20):
                container.mux(packet)
    return path


def silence(stream, blocks):
    """Encoded silence for an audio stream."""
    for i in range(blocks):
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        samples.sample_rate, samples.pts = 44100, 1024 * i
        yield from stream.encode(samples)
    yield from stream.encode()


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for packet in silence(stream, 30):
            container.mux(packet)
    return path
