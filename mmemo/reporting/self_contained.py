"""Pages that need nothing but themselves: escaped text, pictures and sound inside."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray


def render_page(template: str, **values: Any) -> str:  # noqa: ANN401
    """Fill a template of this room; text is escaped, a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmemo.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def sound_data_uri(sound: NDArray[np.float32], sample_rate: int) -> str:
    """A sound (T,), full scale 1, as the source of a player."""
    return "data:audio/wav;base64," + base64.b64encode(wav_bytes(sound, sample_rate)).decode()


def wav_bytes(sound: NDArray[np.float32], sample_rate: int) -> bytes:
    """A sound (T,), full scale 1, as a WAV file of 16 bit; what is beyond is cut."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes((np.clip(sound, -1.0, 1.0) * 32767).round().astype("<i2").tobytes())
    return file.getvalue()
