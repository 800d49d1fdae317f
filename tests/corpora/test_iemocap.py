import json
import logging
from pathlib import Path

import pytest

from mmemo.corpora.facts import CorpusFacts, ExpectedCounts
from mmemo.corpora.iemocap import IemocapCorpus
from mmemo.errors import InputError

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"


def labelled(name: str, code: str, start_s: float, end_s: float) -> str:
    line = f"[{start_s:.4f} - {end_s:.4f}]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]\n"
    ratings = "C-E2:\tNeutral;\t()\nC-E3:\tAnger; Frustration;\t(loud)\nC-F1:\tNeutral;\t()\n"
    return line + ratings + "A-E3:\tval 3; act 2; dom  2;\t()\n\n"


def write_dialogue(root: Path, session: int, name: str, labels: str, words: str) -> None:
    for part, text in (("EmoEvaluation", HEADER + labels), ("transcriptions", words)):
        folder = root / f"Session{session}" / "dialog" / part
        folder.mkdir(parents=True, exist_ok=True)
        # As in the release: ASCII, but for a few lines in an older encoding.
        (folder / f"{name}.txt").write_bytes(text.encode("cp1252"))


def write_release(root: Path, sessions: tuple[int, ...] = (1, 2, 3, 4, 5)) -> Path:
    """One improvisation of two utterances in each session; the first is told last in the file."""
    for session in sessions:
        name = f"Ses0{session}F_impro01"
        labels = labelled(f"{name}_M000", "exc", 8.5, 9.75)
        labels += labelled(f"{name}_F000", "ang", 6.2901, 8.2357)
        words = f"{name}_F000 [006.2901-008.2357]: Excuse me.\n"
        words += f"{name}_M000 [008.5000-009.7500]: Do you have your forms?\n"
        write_dialogue(root, session, name, labels, words)
    return root


def test_an_utterance_has_its_place_words_speaker_and_label(tmp_path: Path) -> None:
    annotations = IemocapCorpus(write_release(tmp_path)).read()
    first, second = annotations.utterances[:2]
    assert (first.key, second.key) == ("Ses01F_impro01_F000", "Ses01F_impro01_M000")
    assert (first.dialogue_id, first.utterance_id, second.utterance_id) == (0, 0, 1)
    assert (first.start_s, first.end_s) == (6.2901, 8.2357)
    assert (first.transcript, second.transcript) == ("Excuse me.", "Do you have your forms?")
    assert (first.speaker, second.speaker) == ("Ses01F", "Ses01M"), "who speaks, not who is marked"
    assert (first.session, first.style) == ("Session1", "improvised")
    assert (first.emotion, second.emotion) == ("anger", "excitement")
    wav = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert first.media_path == str(tmp_path / wav)
    assert not annotations.skips


def test_sessions_are_the_splits(tmp_path: Path) -> None:
    root = write_release(tmp_path)
    frame = IemocapCorpus(root).read().frame()
    of_session = frame.groupby("session")["split"].unique().str.join(" ").to_dict()
    assert of_session == {
        **dict.fromkeys(("Session1", "Session2", "Session3"), "train"),
        **{"Session4": "val", "Session5": "test"},
    }
    assert (frame.groupby("speaker")["split"].nunique() == 1).all()
    assert frame["key"].is_unique
    assert sorted(frame["dialogue_id"].unique()) == [0, 1, 2, 3, 4]
    other = IemocapCorpus(root, test_session=1, val_session=2).read()
    assert [u.split for u in other.utterances[::2]] == ["test", "val", "train", "train", "train"]
    assert other.split_origin == "made here: session 1 tests, 2 validates"


def test_excitement_may_be_joy(tmp_path: Path) -> None:
    labels = {"emotion": {"anger": 5, "excitement": 4, "joy": 1}}
    facts = CorpusFacts("l", "h", "c", total=ExpectedCounts(num_rows=10, labels=labels))
    corpus = IemocapCorpus(write_release(tmp_path), merge_excited=True, facts=facts)
    annotations = corpus.read()
    assert [u.emotion for u in annotations.utterances[:2]] == ["anger", "joy"]
    assert annotations.shortfall() == "", "five of each, and so it is expected"
    apart = IemocapCorpus(tmp_path, facts=facts).read()
    assert "4" in apart.shortfall()


def test_ratings_are_those_of_the_raters_and_not_of_the_actors(tmp_path: Path) -> None:
    """C-E2 says neutral, C-E3 anger and frustration, the actress herself (C-F1) neutral."""
    root = write_release(tmp_path)
    name = "Ses01F_impro02"
    rated = labelled(f"{name}_F000", "exc", 1, 2)
    rated = rated.replace("Neutral;", "Excited;", 1).replace("Anger; Frustration", "Happiness")
    write_dialogue(root, 1, name, rated, "")
    annotations = IemocapCorpus(root).read()
    ratings = {u.key: json.loads(u.ratings or "") for u in annotations.utterances}
    assert ratings["Ses01F_impro01_F000"] == {"neutral": 1, "anger": 1, "frustration": 1}
    assert ratings[f"{name}_F000"] == {"excitement": 1, "joy": 1}
    merged = IemocapCorpus(root, merge_excited=True).read()
    assert json.loads(merged.utterances[2].ratings or "") == {"joy": 2}
    assert annotations.agreement is not None
    assert merged.agreement is not None
    # Ten utterances of three choices each tie, and one of two does, until both are joy.
    assert (annotations.agreement.num_items, annotations.agreement.num_ties) == (10, 11)
    assert merged.agreement.num_ties == 10


def test_a_script_in_the_older_encoding(tmp_path: Path) -> None:
    root = write_release(tmp_path)
    name = "Ses02M_script01_1"
    labels = labelled(f"{name}_F003", "fru", 1, 2)
    write_dialogue(root, 2, name, labels, f"{name}_F003 [001.0000-002.0000]: A café’s door…\n")
    row = next(u for u in IemocapCorpus(root).read().utterances if u.key == f"{name}_F003")
    assert (row.transcript, row.style, row.speaker) == ("A café’s door…", "scripted", "Ses02F")
    assert row.emotion == "frustration"


def test_what_cannot_be_used_is_recorded_or_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_release(tmp_path)
    name = "Ses05F_impro02"
    labels = labelled(f"{name}_F000", "xxx", 1, 2) + labelled(f"{name}_M000", "sad", 2, 3)
    labels += f"[3.0000 - 4.0000]\t{name}_M001\n"
    words = f"{name}_F000 [001.0000-002.0000]: It is.\nM: Yeah.\n"
    words += f"{name}_MXX0 [002.5000-002.7500]: [LAUGHTER]\n"
    words += f"{name}_MXX1 [002.7500-002.8500]: Right.\n"
    write_dialogue(root, 5, name, labels, words)
    (root / "Session5/dialog/EmoEvaluation/._Ses05F_impro02.txt").write_bytes(b"\0\5\x16\7")
    with caplog.at_level(logging.WARNING):
        annotations = IemocapCorpus(root).read()
    assert [(s.key, s.split, s.reason) for s in annotations.skips] == [
        (f"{name}/line15", "test", "unreadable annotation"),
        (f"{name}_F000", "test", "raters disagree"),
    ]
    assert annotations.skips[1].path.endswith("EmoEvaluation/Ses05F_impro02.txt, line 3")
    sad = annotations.utterances[-1]
    assert (sad.key, sad.transcript, sad.utterance_id) == (f"{name}_M000", "", 1)
    assert [record.message for record in caplog.records] == [
        f"corpus iemocap: 1 labelled utterances have no transcript, as {name}_M000",
        f"corpus iemocap: 2 transcribed utterances have no label and are left out, as {name}_MXX0",
    ]


def test_a_partial_release_is_told(tmp_path: Path) -> None:
    two = write_release(tmp_path / "IEMOCAP_full_release", (1, 2))
    with pytest.raises(InputError, match=r"sessions for val, test too, found only Session1, Ses"):
        IemocapCorpus(tmp_path).read()
    with pytest.raises(InputError, match=r"expected sessions for train too"):
        IemocapCorpus(two, test_session=1, val_session=2).check()
    write_release(two, (3,))
    corpus = IemocapCorpus(tmp_path, test_session=3, val_session=2)
    assert not corpus.has_clips
    (two / "Session1/sentences/wav").mkdir(parents=True)
    assert corpus.has_clips
    speakers = [f"Ses0{n}{g}" for n in range(1, 6) for g in "FM"]
    facts = CorpusFacts("l", "h", "c", speakers=speakers, total=ExpectedCounts(num_rows=10))
    told = IemocapCorpus(two, test_session=3, val_session=2, facts=facts).read().shortfall()
    assert told == (
        "expected 10 rows of 10 speakers, found 6 of 6: speakers Ses04F to Ses05M are missing"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_session": 6}, r"corpus\.test_session: expected 1 to 5, got 6"),
        ({"val_session": 5}, r"expected another session than corpus\.test_session, got 5"),
        ({"test_session": 0}, r"corpus\.test_session: expected at least 1, got 0"),
        ({"root": "nowhere"}, r"expected IEMOCAP's full release at .*nowhere .*found nothing"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        IemocapCorpus(**{"root": tmp_path} | options).read()  # type: ignore[arg-type]


def test_damaged_labels(tmp_path: Path) -> None:
    root = write_release(tmp_path)
    name = "Ses01F_impro02"
    write_dialogue(root, 1, name, labelled(f"{name}_F000", "joy", 1, 2), "")
    with pytest.raises(InputError, match=r"Ses01F_impro02\.txt, line 3: expected a label out of"):
        IemocapCorpus(root).read()
    twice = labelled("Ses01F_impro01_F000", "neu", 1, 2)
    write_dialogue(root, 1, name, twice, "")
    with pytest.raises(InputError, match="got Ses01F_impro01_F000 twice"):
        IemocapCorpus(root).read()
