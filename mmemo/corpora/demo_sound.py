"""The demo corpus' sound: speech by espeak-ng, noise, and their mix into channels."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import av
import espeakng_loader
import numpy as np
import numpy.typing as npt

from mmemo.corpora.demo_script import SPEAKERS, Line

Samples = npt.NDArray[np.float32]

SAMPLE_RATE = 48_000
ORDINARY_LEVEL_RMS = 0.05

_ESPEAK_SYNCHRONOUS = 2
_ESPEAK_UTF8 = 1
_ESPEAK_RATE, _ESPEAK_PITCH, _ESPEAK_RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(lines: Sequence[Line], voices: Mapping[str, str] = SPEAKERS) -> list[Samples]:
    """Speak the lines in order; each result is (T,) at 48 kHz at the line's loudness.

    espeak-ng carries state from one sentence to the next that no call resets: the same lines in
    the same order give the same samples only in a process that has not spoken before.

    Args:
        lines: What is spoken.
        voices: For each speaker espeak-ng's name of a voice.

    Raises:
        RuntimeError: If espeak-ng does not start or lacks a voice.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data_path = str(espeakng_loader.get_data_path()).encode()
    native_rate = library.espeak_Initialize(_ESPEAK_SYNCHRONOUS, 0, data_path, 0)
    if native_rate <= 0:
        raise RuntimeError(f"espeak-ng did not start with its data at {data_path.decode()}")
    pieces: list[npt.NDArray[np.int16]] = []

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0

    # A ctypes callback that is garbage-collected while espeak-ng holds it would crash.
    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    spoken = []
    for line in lines:
        pieces.clear()
        voice = voices[line.speaker]
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng lacks the voice {voice}")
        prosody = line.prosody
        for parameter, value, low, high in (
            (_ESPEAK_RATE, prosody.rate_wpm, 80, 450),
            (_ESPEAK_PITCH, prosody.pitch, 0, 99),
            (_ESPEAK_RANGE, prosody.pitch_range, 0, 99),
        ):
            library.espeak_SetParameter(parameter, round(min(max(value, low), high)), 0)
        text = line.transcript.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _ESPEAK_UTF8, None, None)
        library.espeak_Synchronize()
        waveform = np.concatenate(pieces).astype(np.float32) / np.float32(32768)
        level = ORDINARY_LEVEL_RMS * 10 ** (prosody.gain_db / 20)
        spoken.append(_at_rms(_upsample(waveform, native_rate), level))
    return spoken


def _upsample(waveform: Samples, native_rate: int) -> Samples:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(waveform[None], format="flt", layout="mono")
    frame.sample_rate = native_rate
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    upsampled: Samples = np.concatenate([f.to_ndarray()[0] for f in frames]).astype(np.float32)
    return upsampled


def _at_rms(waveform: Samples, rms: float) -> Samples:
    present = float(np.sqrt(np.mean(waveform**2)))
    return (waveform * (rms / max(present, 1e-9))).astype(np.float32)


def make_noise(
    kind: str, num_samples: int, babble: Sequence[Samples], rng: np.random.Generator
) -> Samples:
    """Background of the given kind, (num_samples,) at unit RMS: "hum", "babble" or "claps"."""
    if kind == "hum":
        time_s = np.arange(num_samples) / SAMPLE_RATE
        base_hz = rng.choice((50.0, 60.0))
        noise = sum(
            np.sin(2 * np.pi * base_hz * k * time_s + rng.uniform(0, 2 * np.pi)) / k
            for k in (1, 2, 3, 5)
        ) + 0.3 * rng.standard_normal(num_samples)
    elif kind == "babble":
        noise = np.zeros(num_samples)
        for voice in (babble[int(i)] for i in rng.integers(len(babble), size=6)):
            noise += np.roll(np.resize(voice, num_samples), int(rng.integers(num_samples)))
    else:
        noise = 0.02 * rng.standard_normal(num_samples)
        length = SAMPLE_RATE // 20
        decay = np.exp(-np.arange(length) / (SAMPLE_RATE / 120))
        for start in rng.integers(0, num_samples, size=max(3, 8 * num_samples // SAMPLE_RATE)):
            clap = (rng.standard_normal(length) * decay)[: num_samples - start]
            noise[start : start + len(clap)] += rng.uniform(0.3, 1.0) * clap
    return _at_rms(np.asarray(noise, dtype=np.float32), 1.0)


def mix(line: Line, speech: Samples, babble: Sequence[Samples], seed: int) -> Samples:
    """Speech and noise at the line's SNR, (channels, T) in the line's layout.

    The SNR is that of an ordinary level of speech, so that a quiet line drowns more than a loud
    one, as in a room. In 5.1 the voice stands in the centre and the noise around it: a reader
    that keeps channel 0 alone would lose the voice.
    """
    rng = np.random.default_rng(seed)
    margin = np.zeros(SAMPLE_RATE // 10, dtype=np.float32)
    speech = np.concatenate([margin, speech, margin])
    level = ORDINARY_LEVEL_RMS * 10 ** (-line.snr_db / 20)

    def noise() -> Samples:
        return (level * make_noise(line.noise, len(speech), babble, rng)).astype(np.float32)

    if line.channel_layout == "mono":
        channels = [speech + noise()]
    elif line.channel_layout == "stereo":
        channels = [speech + noise(), speech + noise()]
    else:
        # Front left, front right, centre, low frequency, side left, side right.
        silence = np.zeros_like(speech)
        channels = [noise(), noise(), speech.copy(), silence, noise(), noise()]
    mixed: Samples = np.clip(np.stack(channels), -1.0, 1.0).astype(np.float32)
    return mixed
