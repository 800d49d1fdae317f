import pytest

from mmemo.audit.scenes import shared_scenes
from tests.audit.hand_made import table

LONG = "Well, that is all that I know"


def test_an_overlap_is_found_and_its_transcripts_compared() -> None:
    rows = table(
        ("train", 12, 0, "joy", "No way! I know that."),
        ("train", 12, 1, "anger", LONG),
        ("test", 85, 0, "anger", "No way!"),
        ("test", 85, 1, "joy", "I know that."),
        ("test", 85, 2, "anger", f"{LONG}."),
        season=[1] * 5,
        episode=[2] * 5,
        start_s=[10, 13, 10, 11, 13],
        end_s=[13, 15, 11, 13.5, 15],
    )
    (scenes,) = shared_scenes(rows)
    (pair,) = scenes.pairs
    assert (pair.dialogue, pair.other_dialogue) == ("test/dia85", "train/dia12")
    assert (pair.season, pair.episode) == (1, 2)
    # 85_0 with 12_0 (1 s), 85_1 with 12_0 (2 s) and 12_1 (0.5 s), 85_2 with 12_1 (2 s); 85_1 and
    # 85_2 overlap too, but they are of one dialogue.
    assert (pair.num_overlapping, pair.overlap_s) == (4, 5.5)
    assert (pair.num_equal, pair.num_equal_other_label) == (1, 0)
    # "no way" and "i know that" stand in 12_0; that of "no way" has another label.
    assert (pair.num_alike, pair.num_alike_other_label) == (3, 1)
    assert (scenes.num_pairs, scenes.num_confirmed, scenes.num_rows) == (1, 1, 3)


@pytest.mark.parametrize(
    ("start_s", "end_s", "episode", "why"),
    [
        (13.0, 15.0, 2, "abutting spans have nothing in common"),
        (11.0, 11.0, 2, "a span of no length"),
        (12.0, 11.0, 2, "a negative span"),
        (0.0, 31.0, 2, "a span that is too long to be true"),
        (10.0, 13.0, 3, "another episode"),
        (None, None, 2, "no times"),
        (10.0, 13.0, None, "no episode"),
    ],
)
def test_what_is_no_shared_scene(
    start_s: float | None, end_s: float | None, episode: int | None, why: str
) -> None:
    rows = table(
        ("train", 0, 0, "joy", LONG),
        ("test", 0, 0, "joy", LONG),
        season=[1, 1],
        episode=[2, episode],
        start_s=[10, start_s],
        end_s=[13, end_s],
    )
    (scenes,) = shared_scenes(rows)
    assert scenes.pairs == (), why


def test_one_common_word_does_not_confirm_a_scene() -> None:
    rows = table(
        ("train", 0, 0, "joy", "Oh, it is all right."),
        ("test", 0, 0, "joy", "Oh!"),
        season=[1, 1],
        episode=[2, 2],
        start_s=[1, 1],
        end_s=[2, 2],
    )
    (scenes,) = shared_scenes(rows)
    assert (scenes.num_pairs, scenes.num_confirmed) == (1, 0)
