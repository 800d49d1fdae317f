"""What the demo corpus says and how: sentences, prosody, noise. No sound is made here.

In about a third of the lines one word decides the emotion and the prosody is shared by all
emotions; in nearly half the prosody decides and the sentence is spoken with every emotion; in
the rest both tell. Neither modality alone can therefore reach what both reach.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mmemo.corpora.utterance import SPLITS

EMOTION_SHARES = {
    "neutral": 0.22,
    "joy": 0.18,
    "surprise": 0.16,
    "anger": 0.16,
    "sadness": 0.16,
    "disgust": 0.06,
    "fear": 0.06,
}
SPLIT_SHARES = {"train": 0.64, "val": 0.14, "test": 0.22}
CARRIER_SHARES = {"words": 0.35, "prosody": 0.45, "both": 0.2}

AMBIGUOUS_SENTENCES = (
    "I'm fine.",
    "You are here.",
    "So that is what he said.",
    "We should talk about it.",
    "It's all yours now.",
    "Look at the time.",
    "They came back this morning.",
    "I know what you did.",
    "Tell me about it.",
    "That was the last one.",
    "He called me again.",
    "I will see you tomorrow.",
    "She is moving out.",
    "The door was open.",
    "You finished the whole box.",
    "My brother bought a car.",
)

DECIDING_WORDS = {
    "anger": ("outrageous", "infuriating", "unfair", "insulting", "unacceptable", "maddening"),
    "disgust": ("revolting", "rotten", "filthy", "nasty", "foul", "sickening"),
    "fear": ("terrifying", "scary", "dangerous", "creepy", "frightening", "threatening"),
    "joy": ("wonderful", "delightful", "fantastic", "lovely", "splendid", "marvellous"),
    "neutral": ("ordinary", "usual", "typical", "regular", "standard", "average"),
    "sadness": ("heartbreaking", "hopeless", "tragic", "gloomy", "lonely", "painful"),
    "surprise": ("unbelievable", "astonishing", "unexpected", "startling", "bizarre", "stunning"),
}
OPENERS = ("", "Well, ", "You know, ", "I mean, ", "Listen, ", "As I said, ")
SUBJECTS = (
    "the meeting was",
    "your plan is",
    "this letter is",
    "the whole evening was",
    "what she told me is",
    "the ending of it was",
    "that story is",
    "his answer was",
)
CLOSERS = ("", "", ", I think", " to me", ", as they say")


@dataclass(frozen=True)
class Prosody:
    """How a sentence is spoken.

    ``pitch`` and ``pitch_range`` are espeak-ng's parameters (0 to 99), ``rate_wpm`` words per
    minute, ``gain_db`` the loudness relative to the speaker's ordinary level.
    """

    pitch: float
    pitch_range: float
    rate_wpm: float
    gain_db: float


PROSODY = {
    "anger": Prosody(38, 65, 225, 8),
    "disgust": Prosody(28, 70, 135, 0),
    "fear": Prosody(80, 15, 235, -5),
    "joy": Prosody(72, 90, 190, 3),
    "neutral": Prosody(46, 35, 172, 0),
    "sadness": Prosody(18, 10, 122, -9),
    "surprise": Prosody(97, 99, 148, 4),
}
SHARED_PROSODY = (Prosody(42, 15, 158, -3), Prosody(60, 65, 180, 1), Prosody(55, 30, 200, -1))
PROSODY_SPREAD = Prosody(4, 5, 7, 1.0)

SPEAKERS = {
    "Ada": "en-us+f3",
    "Bruno": "en-us+m3",
    "Clara": "en-us+f1",
    "Dev": "en-us+m1",
}
NOISES = ("hum", "babble", "claps")
SNRS_DB = (20.0, 15.0, 10.0, 5.0)
CHANNEL_LAYOUTS = ("mono", "stereo", "5.1")


@dataclass(frozen=True)
class Line:
    """One line of the script: who says what, how, in which noise; and what decides its emotion.

    ``carrier`` is "words", "prosody" or "both"; ``deciding_word`` is empty where the words do
    not decide.
    """

    split: str
    dialogue_id: int
    utterance_id: int
    speaker: str
    emotion: str
    transcript: str
    carrier: str
    deciding_word: str
    prosody: Prosody
    noise: str
    snr_db: float
    channel_layout: str


def write_script(num_utterances: int, seed: int) -> list[Line]:
    """Write the lines of all splits, in order; the same arguments give the same lines."""
    rng = np.random.default_rng(seed)
    lines: list[Line] = []
    for split, size in zip(SPLITS, _apportion(num_utterances, SPLIT_SHARES), strict=True):
        emotions = _draw_quota(rng, EMOTION_SHARES, size)
        carriers = _draw_quota(rng, CARRIER_SHARES, size)
        dialogue_id = 0
        while emotions:
            cast = rng.permutation(list(SPEAKERS))[: int(rng.integers(2, 4))]
            for utterance_id in range(min(len(emotions), int(rng.integers(4, 9)))):
                speaker = str(cast[utterance_id % len(cast)])
                emotion, carrier = emotions.pop(), carriers.pop()
                transcript, word = _write_sentence(rng, emotion, carrier)
                line = Line(
                    split=split,
                    dialogue_id=dialogue_id,
                    utterance_id=utterance_id,
                    speaker=speaker,
                    emotion=emotion,
                    transcript=transcript,
                    carrier=carrier,
                    deciding_word=word,
                    prosody=_draw_prosody(rng, emotion, carrier),
                    noise=str(rng.choice(NOISES)),
                    snr_db=float(rng.choice(SNRS_DB)),
                    channel_layout=str(rng.choice(CHANNEL_LAYOUTS)),
                )
                lines.append(line)
            dialogue_id += 1
    return lines


def _apportion(total: int, shares: dict[str, float]) -> list[int]:
    """Whole numbers that add up to ``total``, as near to the shares as rounding allows."""
    bounds = np.rint(np.cumsum(list(shares.values())) * total).astype(int)
    return [int(size) for size in np.diff(bounds, prepend=0)]


def _draw_quota(rng: np.random.Generator, shares: dict[str, float], size: int) -> list[str]:
    names = np.repeat(list(shares), _apportion(size, shares))
    return [str(name) for name in rng.permutation(names)]


def _write_sentence(rng: np.random.Generator, emotion: str, carrier: str) -> tuple[str, str]:
    if carrier == "prosody":
        return str(rng.choice(AMBIGUOUS_SENTENCES)), ""
    word = str(rng.choice(DECIDING_WORDS[emotion]))
    sentence = f"{rng.choice(OPENERS)}{rng.choice(SUBJECTS)} {word}{rng.choice(CLOSERS)}."
    return sentence[0].upper() + sentence[1:], word


def _draw_prosody(rng: np.random.Generator, emotion: str, carrier: str) -> Prosody:
    centre = PROSODY[emotion]
    if carrier == "words":
        centre = SHARED_PROSODY[int(rng.integers(len(SHARED_PROSODY)))]
    return Prosody(
        **{
            f.name: float(rng.normal(getattr(centre, f.name), getattr(PROSODY_SPREAD, f.name)))
            for f in fields(Prosody)
        }
    )
