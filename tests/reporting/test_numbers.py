"""What pages tell, and leave out."""

from mmemo.reporting.numbers import in_words


def test_a_protocol_is_told_in_words_without_what_is_not_there() -> None:
    fields = {"missing": None, "split_settings": {}, "has_sound": True, "leaky": False}
    fields |= {"classes": ["joy", "anger"], "num_utterances": {"val": 14, "test": 0}}
    assert in_words(fields) == {
        "has sound": "yes",
        "leaky": "no",
        "classes": "joy, anger",
        "num utterances": "val 14, test 0",
    }
