"""The counts that MELD's authors published.

Source: Poria et al. 2019, "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in
Conversation" (the tables of statistics and of the distribution of emotions and sentiments), and
the same tables in the dataset's README.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialCounts:
    """What was published of one split.

    Args:
        num_rows: Utterances.
        num_dialogues: Dialogues. For the training split 1,039 were published, but the CSV has
            1,038: there is no dialogue 60.
        num_speakers: Different names of speakers.
        labels: For each column of labels the utterances of each class.
    """

    num_rows: int
    num_dialogues: int
    num_speakers: int
    labels: Mapping[str, Mapping[str, int]]


MELD_OFFICIAL = {
    "train": OfficialCounts(
        num_rows=9989,
        num_dialogues=1039,
        num_speakers=260,
        labels={
            "emotion": {
                "anger": 1109,
                "disgust": 271,
                "fear": 268,
                "joy": 1743,
                "neutral": 4710,
                "sadness": 683,
                "surprise": 1205,
            },
            "sentiment": {"negative": 2945, "neutral": 4710, "positive": 2334},
        },
    ),
    "val": OfficialCounts(
        num_rows=1109,
        num_dialogues=114,
        num_speakers=47,
        labels={
            "emotion": {
                "anger": 153,
                "disgust": 22,
                "fear": 40,
                "joy": 163,
                "neutral": 470,
                "sadness": 111,
                "surprise": 150,
            },
            "sentiment": {"negative": 406, "neutral": 470, "positive": 233},
        },
    ),
    "test": OfficialCounts(
        num_rows=2610,
        num_dialogues=280,
        num_speakers=100,
        labels={
            "emotion": {
                "anger": 345,
                "disgust": 68,
                "fear": 50,
                "joy": 402,
                "neutral": 1256,
                "sadness": 208,
                "surprise": 281,
            },
            "sentiment": {"negative": 833, "neutral": 1256, "positive": 521},
        },
    ),
}
