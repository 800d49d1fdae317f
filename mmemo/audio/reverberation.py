"""Rooms: sound as a microphone some way off hears it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import check_probability, check_range, load_package, of_length

MARGIN_M = 0.5
"""Distance of speaker and microphone to each wall."""

HEIGHT_M = 3.0
MAX_ORDER = 60
"""Reflections of a higher order are left out."""


@dataclass(frozen=True)
class Reverberation:
    """An empty room, by pyroomacoustics' image source method.

    Size of the room, reverberation time and places of speaker and microphone are drawn. The
    direct sound stays where it was in time, and the energy what it was: neither tells of the room.
    Source: Scheibler, Bezzam and Dokmanić 2018, "Pyroomacoustics".

    Args:
        min_rt60_s: Least time in which the room's sound falls by 60 dB, by Sabine's formula.
        max_rt60_s: Most.
        min_size_m: Least length and width of the room; it is 3 m high.
        max_size_m: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_rt60_s: float = 0.15
    max_rt60_s: float = 0.5
    min_size_m: float = 3.0
    max_size_m: float = 6.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("reverberation", self.probability)
        check_range("reverberation", "rt60_s", self.min_rt60_s, self.max_rt60_s, 0.05, 3.0)
        check_range("reverberation", "size_m", self.min_size_m, self.max_size_m, 2.0, 30.0)

    def check(self) -> None:
        """Load the package.

        Raises:
            InputError: If it is not installed.
        """
        load_package("pyroomacoustics", "reverberation")

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,): what rings behind the end is cut."""
        length_m, width_m = rng.uniform(self.min_size_m, self.max_size_m, 2)
        room = np.array([length_m, width_m, HEIGHT_M])
        places = rng.uniform(MARGIN_M, room - MARGIN_M, (2, 3))
        rt60_s = rng.uniform(self.min_rt60_s, self.max_rt60_s)
        speaker, microphone = (tuple(map(float, place)) for place in places)
        response = impulse_response(rt60_s, tuple(room), speaker, microphone, sample_rate)
        wet = of_length(signal.oaconvolve(waveform, response), len(waveform))
        energy, wet_energy = (np.sum(np.square(w, dtype=np.float64)) for w in (waveform, wet))
        scale = np.sqrt(energy / wet_energy) if wet_energy > 0 else 1.0
        return wet * np.float32(scale)


Point = tuple[float, ...]


def impulse_response(
    rt60_s: float, room_m: Point, speaker_m: Point, microphone_m: Point, sample_rate: int
) -> Samples:
    """What a click sounds like in a room, from the direct sound on.

    Args:
        rt60_s: Reverberation time; the shortest that the room can have, where it is shorter.
        room_m: Length, width and height.
        speaker_m: Where the sound is.
        microphone_m: Where it is heard.
        sample_rate: In Hz.
    """
    acoustics = load_package("pyroomacoustics", "reverberation")
    room = np.array(room_m)
    volume, surface = room.prod(), 2 * (room[0] * room[1] + room[2] * (room[0] + room[1]))
    # Sabine: walls that take all sound have this one.
    shortest_s = 0.1611 * volume / surface
    absorption, order = acoustics.inverse_sabine(max(rt60_s, 1.01 * shortest_s), room)
    simulated = acoustics.ShoeBox(
        room,
        fs=sample_rate,
        materials=acoustics.Material(float(absorption)),
        max_order=min(int(order), MAX_ORDER),
    )
    simulated.add_source(list(speaker_m))
    simulated.add_microphone(list(microphone_m))
    simulated.compute_rir()
    response = np.asarray(simulated.rir[0][0], dtype=np.float32)
    distance_m = float(np.linalg.norm(np.subtract(speaker_m, microphone_m)))
    # Fractional delays are filters of that length, centred at the delay.
    half = acoustics.constants.get("frac_delay_length") // 2
    direct = round(distance_m / acoustics.constants.get("c") * sample_rate) + half
    return response[min(direct, len(response) - 1) :]
