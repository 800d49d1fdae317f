"""Video clips as MELD has them: MPEG-4 picture and AAC sound in an .mp4."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

PICTURE_SIZE = 64
FRAMES_PER_S = 5
BITS_PER_S_AND_CHANNEL = 64_000


def write_clip(
    path: Path,
    channels: npt.NDArray[np.float32],
    sample_rate: int,
    layout: str,
    colour: tuple[int, int, int],
) -> None:
    """Write the sound (channels, T) under a plain coloured picture to an .mp4 file.

    Args:
        path: File to write; its folder exists.
        channels: Samples in [-1, 1], one row for each channel of the layout.
        sample_rate: In Hz.
        layout: FFmpeg's name of the channel layout: "mono", "stereo", "5.1".
        colour: Red, green and blue of the picture, 0 to 255.
    """
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=FRAMES_PER_S)
        video.width = video.height = PICTURE_SIZE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream(
            "aac", rate=sample_rate, layout=layout, options={"aac_coder": "fast"}
        )
        audio.bit_rate = BITS_PER_S_AND_CHANNEL * len(channels)
        picture = np.empty((PICTURE_SIZE, PICTURE_SIZE, 3), dtype=np.uint8)
        picture[:] = colour
        num_frames = max(1, round(channels.shape[1] / sample_rate * FRAMES_PER_S))
        for index in range(num_frames):
            image = av.VideoFrame.from_ndarray(picture, format="rgb24")
            image.pts = index
            container.mux(video.encode(image))
        sound = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(channels), format="fltp", layout=layout
        )
        sound.sample_rate = sample_rate
        sound.pts = 0
        container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
