"""Small spoken corpora in the layouts of RAVDESS, EmoDB and IEMOCAP, made on the spot.

``python -m tests.corpora.demo_layouts FOLDER`` writes all three. The same arguments give the
same files. What tells the emotion is how a sentence is spoken; in IEMOCAP's layout sometimes a
word too, as in the demo corpus.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmemo.audio.media import resample
from mmemo.corpora import demo_sound
from mmemo.corpora.demo_script import (
    AMBIGUOUS_SENTENCES,
    DECIDING_WORDS,
    PROSODY,
    SUBJECTS,
    Line,
    Prosody,
)
from mmemo.worker_pool import WorkerPool

FEMALE = ("f1", "f2", "f3", "f4", "f5")
MALE = ("m1", "m3", "m4", "m5", "m7")
WAYS = PROSODY | {
    "calm": Prosody(44, 25, 150, -3),
    "boredom": Prosody(34, 8, 112, -4),
    "excitement": Prosody(80, 95, 205, 5),
    "frustration": Prosody(34, 55, 205, 5),
}
"""How each emotion is spoken."""

RAVDESS_CODES = {
    "neutral": 1,
    "calm": 2,
    "joy": 3,
    "sadness": 4,
    "anger": 5,
    "fear": 6,
    "disgust": 7,
    "surprise": 8,
}
RAVDESS_STATEMENTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")

EMODB_CODES = {
    "anger": "W",
    "boredom": "L",
    "disgust": "E",
    "fear": "A",
    "joy": "F",
    "sadness": "T",
    "neutral": "N",
}
EMODB_FEMALE = ("08", "09", "13", "14", "16")
EMODB_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
EMODB_TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
}

IEMOCAP_CODES = {
    "anger": "ang",
    "joy": "hap",
    "excitement": "exc",
    "sadness": "sad",
    "neutral": "neu",
    "frustration": "fru",
}
IEMOCAP_RATINGS = {
    "ang": "Anger",
    "hap": "Happiness",
    "exc": "Excited",
    "sad": "Sadness",
    "neu": "Neutral state",
    "fru": "Frustration",
}


@dataclass(frozen=True)
class Take:
    """One sentence of a corpus: who speaks it, how, and in which file.

    ``voice`` is espeak-ng's name of a voice; ``path`` starts at the corpus' folder.
    """

    path: str
    voice: str
    emotion: str
    text: str


def write_ravdess(root: Path, num_actors: int = 12, seed: int = 0) -> Path:
    """``Actor_01/03-01-05-01-02-01-01.wav``: every emotion, statement and intensity once."""
    takes = []
    for actor in range(1, num_actors + 1):
        voice = f"en-us+{_variant(actor % 2 == 0, (actor - 1) // 2)}"
        for emotion, code in RAVDESS_CODES.items():
            for intensity in (1,) if emotion == "neutral" else (1, 2):
                for number, text in enumerate(RAVDESS_STATEMENTS, start=1):
                    name = f"03-01-{code:02d}-{intensity:02d}-{number:02d}-01-{actor:02d}.wav"
                    takes.append(Take(f"Actor_{actor:02d}/{name}", voice, emotion, text))
    _write_sounds(root, takes, 48_000, seed)
    return root


def write_emodb(root: Path, speakers: Sequence[str] = EMODB_SPEAKERS, seed: int = 0) -> Path:
    """``wav/03a01Fa.wav``: every emotion and sentence once of each speaker."""
    takes = []
    for index, speaker in enumerate(speakers):
        voice = f"de+{_variant(speaker in EMODB_FEMALE, index // 2)}"
        for emotion, letter in EMODB_CODES.items():
            for code, text in EMODB_TEXTS.items():
                takes.append(Take(f"wav/{speaker}{code}{letter}a.wav", voice, emotion, text))
    _write_sounds(root, takes, 16_000, seed)
    return root


def write_iemocap(root: Path, sessions: Sequence[int] = (1, 2, 3, 4, 5), seed: int = 0) -> Path:
    """Two dialogues of twelve utterances in each session, with their evaluations.

    The last utterance of each improvisation has no label that its raters agree upon.
    """
    rng = np.random.default_rng(seed)
    for session in sessions:
        for dialogue in (f"Ses0{session}F_impro01", f"Ses0{session}M_script01_1"):
            emotions = [str(e) for e in rng.permutation(list(IEMOCAP_CODES) * 2)]
            takes, counts = [], {"F": 0, "M": 0}
            for turn, emotion in enumerate(emotions):
                gender = "FM"[turn % 2]
                name = f"{dialogue}_{gender}{counts[gender]:03d}"
                counts[gender] += 1
                path = f"Session{session}/sentences/wav/{dialogue}/{name}.wav"
                voice = f"en-us+{_variant(gender == 'F', session - 1)}"
                takes.append(Take(path, voice, emotion, _sentence(rng, emotion)))
            durations_s = _write_sounds(root, takes, 16_000, seed + session)
            _write_evaluations(root / f"Session{session}" / "dialog", dialogue, takes, durations_s)
    return root


def _variant(is_female: bool, index: int) -> str:
    variants = FEMALE if is_female else MALE
    return variants[index % len(variants)]


def _sentence(rng: np.random.Generator, emotion: str) -> str:
    if emotion not in DECIDING_WORDS or rng.random() < 0.6:
        return str(rng.choice(AMBIGUOUS_SENTENCES))
    sentence = f"{rng.choice(SUBJECTS)} {rng.choice(DECIDING_WORDS[emotion])}."
    return sentence[0].upper() + sentence[1:]


def _write_evaluations(
    folder: Path, dialogue: str, takes: Sequence[Take], durations_s: Sequence[float]
) -> None:
    """The transcription of a dialogue, and what three raters made of each utterance."""
    told, said, clock_s = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"], [], 1.0
    for number, (take, duration_s) in enumerate(zip(takes, durations_s, strict=True), start=1):
        name, start_s, end_s = Path(take.path).stem, clock_s, clock_s + duration_s
        clock_s = end_s + 0.3
        code = IEMOCAP_CODES[take.emotion]
        ratings = [IEMOCAP_RATINGS[code]] * 2 + ["Neutral state"]
        if number == len(takes) and "impro" in dialogue:
            code, ratings = "xxx", ["Anger", "Sadness", "Neutral state"]
        told.append(f"[{start_s:.4f} - {end_s:.4f}]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]")
        told += [f"C-E{i}:\t{rating};\t()" for i, rating in enumerate(ratings, start=2)]
        told += ["A-E3:\tval 3; act 3; dom  3;\t()", ""]
        said.append(f"{name} [{start_s:08.4f}-{end_s:08.4f}]: {take.text}")
    for part, lines in (("EmoEvaluation", told), ("transcriptions", said)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"{dialogue}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_sounds(root: Path, takes: Sequence[Take], rate: int, seed: int) -> list[float]:
    """Write a mono WAV of each take, with a little noise; their lengths in seconds."""
    rng = np.random.default_rng(seed)
    lines = [_line(take, rng) for take in takes]
    voices = {take.voice: take.voice for take in takes}
    with WorkerPool(1) as pool:
        speech = pool.submit(demo_sound.speak, lines, voices).result()
    durations_s = []
    for take, line, samples in zip(takes, lines, speech, strict=True):
        channels = demo_sound.mix(line, samples, [], int(rng.integers(2**32)))
        waveform = resample(channels[0], demo_sound.SAMPLE_RATE, rate)
        path = root / take.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(np.rint(np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes())
        durations_s.append(len(waveform) / rate)
    return durations_s


def _line(take: Take, rng: np.random.Generator) -> Line:
    way = WAYS[take.emotion]
    spread = rng.normal(0, (4, 5, 7, 1))
    prosody = replace(
        way,
        pitch=way.pitch + spread[0],
        pitch_range=way.pitch_range + spread[1],
        rate_wpm=way.rate_wpm + spread[2],
        gain_db=way.gain_db + spread[3],
    )
    return Line(
        split="",
        dialogue_id=0,
        utterance_id=0,
        speaker=take.voice,
        emotion=take.emotion,
        transcript=take.text,
        carrier="prosody",
        deciding_word="",
        prosody=prosody,
        noise="hum",
        snr_db=25.0,
        channel_layout="mono",
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_ravdess(folder / "ravdess")
    write_emodb(folder / "emodb")
    write_iemocap(folder / "iemocap")
