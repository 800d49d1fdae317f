import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mmemo.audit import near_copies
from mmemo.audit.near_copies import SOUND, TEXT, find_near_copies

RATE = 8000


def said(seed: int, duration_s: float = 1.0) -> NDArray[np.int16]:
    """Noise in syllables of random loudness: like speech, alike to itself alone."""
    random = np.random.default_rng(seed)
    num = round(duration_s * RATE)
    loudness = np.repeat(random.uniform(0.01, 1.0, num // 800 + 1), 800)[:num]
    return (3000 * loudness * random.standard_normal(num)).astype(np.int16)


def table(sounds: list[NDArray[np.int16]], splits: str, texts: list[str]) -> pd.DataFrame:
    names = {"r": "train", "v": "val", "e": "test"}
    return pd.DataFrame(
        {
            "key": [f"k{number}" for number in range(len(sounds))],
            "split": [names[letter] for letter in splits],
            "label": "joy",
            "text": texts,
            "speaker": "Ada",
            "num_samples": [len(sound) for sound in sounds],
            "crc32": range(len(sounds)),
        }
    )


def encoded_again(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """What a lossy codec leaves, roughly: fewer steps, and a little noise."""
    noise = np.random.default_rng(9).normal(0, 100, len(sound))
    return (np.round(sound / 256) * 256 + noise).astype(np.int16)


@pytest.mark.parametrize("max_pairs", [near_copies.MAX_PAIRS, 0])
def test_what_was_encoded_again_or_shifted_is_told(
    max_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_copies, "MAX_PAIRS", max_pairs)
    first, second, third = said(1), said(2), said(3)
    shifted = np.concatenate([np.zeros(300, np.int16), third])
    later = second[1600:]
    sounds = [first, encoded_again(first), second, later, third, shifted, said(4), said(5)]
    texts = ["a", "b", "c", "c", "d", "d", "", ""]
    rows = table(sounds, "rervrere", texts)
    found = find_near_copies(rows, RATE, lambda row: sounds[row])
    keys = {pair.keys for pair in found.pairs}
    same_text = {("k2", "k3"), ("k4", "k5")}
    assert keys == (same_text | {("k0", "k1")} if max_pairs else same_text)
    assert found.by_length == bool(max_pairs)
    assert all(pair.alike == SOUND and pair.correlation > 0.8 for pair in found.pairs)


def test_one_split_and_identical_samples_are_no_near_copies() -> None:
    sounds = [said(1), encoded_again(said(1)), said(1)]
    rows = table(sounds, "rre", ["a", "a", "a"])
    rows["crc32"] = [1, 2, 1]
    found = find_near_copies(rows, RATE, lambda row: sounds[row])
    assert [pair.keys for pair in found.pairs] == [("k1", "k2")]


def test_equal_text_speaker_and_length_are_told_whatever_the_sound() -> None:
    sounds = [said(1), said(2), said(3)]
    rows = table(sounds, "ree", ["oh well", "oh well", "oh well"])
    rows.loc[2, "speaker"] = "Ben"
    (pair,) = find_near_copies(rows, RATE, lambda row: sounds[row]).pairs
    assert (pair.keys, pair.alike) == (("k0", "k1"), TEXT)
    assert pair.correlation < 0.4
