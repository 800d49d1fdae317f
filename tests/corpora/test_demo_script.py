from collections import Counter, defaultdict

from mmemo.corpora.demo_script import CARRIER_SHARES, DECIDING_WORDS, EMOTION_SHARES, write_script
from mmemo.corpora.utterance import EMOTIONS, SPLITS


def test_same_seed_same_script_and_another_seed_another() -> None:
    assert write_script(100, 3) == write_script(100, 3)
    assert write_script(100, 3) != write_script(100, 4)


def test_sizes_and_shares_are_met() -> None:
    lines = write_script(600, 0)
    assert len(lines) == 600
    assert Counter(line.split for line in lines) == {"train": 384, "val": 84, "test": 132}
    for split in SPLITS:
        part = [line for line in lines if line.split == split]
        emotions, carriers = Counter(x.emotion for x in part), Counter(x.carrier for x in part)
        assert set(emotions) == set(EMOTIONS)
        for shares, counts in ((EMOTION_SHARES, emotions), (CARRIER_SHARES, carriers)):
            for name, share in shares.items():
                assert abs(counts[name] - share * len(part)) <= 1


def test_neither_words_nor_prosody_alone_decide() -> None:
    lines = write_script(600, 0)
    emotions = defaultdict(set)
    for line in lines:
        if line.carrier == "prosody":
            emotions[line.transcript].add(line.emotion)
            assert line.deciding_word == ""
        else:
            assert line.deciding_word in DECIDING_WORDS[line.emotion]
            assert line.deciding_word in line.transcript
    assert min(len(found) for found in emotions.values()) >= 4
    by_words = [line.prosody for line in lines if line.carrier == "words"]
    # Shared prosodies lie near the middle, whatever the words say.
    assert max(p.pitch for p in by_words) < 85
    assert min(p.rate_wpm for p in by_words) > 125


def test_keys_are_unique_and_restart_in_every_split() -> None:
    lines = write_script(120, 1)
    keys = {(line.split, line.dialogue_id, line.utterance_id) for line in lines}
    assert len(keys) == len(lines)
    assert all((split, 0, 0) in keys for split in SPLITS)
