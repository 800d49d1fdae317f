"""Words with their times, in the stretches of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmemo.audio.recordings import Stretch
from mmemo.errors import InputError
from mmemo.prediction.answers import SpokenWord
from mmemo.prediction.requests import Request


def check_times(requests: Sequence[Request]) -> None:
    """Refuse words of whole recordings whose stretches are asked about.

    Raises:
        InputError: If there are words, and none of them with times.
    """
    with_words = [request for request in requests if request.transcript is not None]
    has_times = any(
        request.words is not None
        or (request.recording is not None and request.recording.end_s is not None)
        for request in with_words
    )
    if with_words and not has_times:
        raise InputError(f"text: {untimed_words(with_words[0])}")


def untimed_words(request: Request) -> str:
    """What to say of words of a whole recording whose stretches are asked about."""
    return (
        "expected words with times beside window_s or segments, got "
        f"'{(request.transcript or '')[:60]}': which of these words are said in which stretch is "
        "not known; let asr=whisper write down each stretch, name a CSV with a row for each "
        "utterance (start, end), or one with times in its column words"
    )


def words_within(request: Request, stretch: Stretch) -> Request:
    """The request with the words whose middle lies in a stretch, in the stretch's own time."""
    if request.words is None or request.recording is None:
        return request
    begin_s = stretch.start_s - request.recording.start_s
    end_s = begin_s + stretch.end_s - stretch.start_s
    words = tuple(
        SpokenWord(word.text, max(word.start_s - begin_s, 0.0), min(word.end_s, end_s) - begin_s)
        for word in request.words
        if begin_s <= (word.start_s + word.end_s) / 2 < end_s
    )
    return replace(request, words=words, transcript=" ".join(w.text for w in words) or None)
