"""What pages tell, and leave out."""

import numpy as np
import pytest

from mmemo.explanation.mel_spectrogram import mel_edges_hz, mel_position
from mmemo.reporting.numbers import told


def test_a_protocol_is_told_in_words_without_what_is_not_there() -> None:
    fields = {"missing": None, "split_settings": {}, "has_sound": True, "leaky": False}
    fields |= {"classes": ["joy", "anger"], "num_utterances": {"val": 14, "test": 0}}
    assert told(fields) == {
        "has sound": "yes",
        "leaky": "no",
        "classes": "joy, anger",
        "num utterances": "val 14, test 0",
    }


def test_frequencies_stand_in_the_middle_of_their_bands() -> None:
    """Band k, whose triangle has its top at edge k + 1, is drawn from k to k + 1."""
    tops = mel_edges_hz(8000.0)[1:-1]
    assert mel_position(tops, 8000.0) == pytest.approx(np.arange(64) + 0.5)
