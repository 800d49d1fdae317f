"""Corpora by name: each file of conf/corpus on names such as its corpus has."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mmemo.corpora.annotations import Annotations
from mmemo.folders import config_dir
from tests.corpora.test_files import made


def read(name: str, root: Path) -> Annotations:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("audit", [f"corpus={name}", f"corpus.root={root}"])
    annotations: Annotations = instantiate(cfg.corpus, _convert_="all").read()
    return annotations


def ravdess() -> list[str]:
    """60 files of each of 24 actors: all but neutral in two intensities."""
    names = []
    for actor, emotion, intensity in product(range(1, 25), range(1, 9), (1, 2)):
        if (emotion, intensity) != (1, 2):
            for statement, take in product((1, 2), (1, 2)):
                code = f"{emotion:02}-{intensity:02}-{statement:02}-{take:02}-{actor:02}"
                names.append(f"Actor_{actor:02}/03-01-{code}.wav")
    return names


WHOLE = {
    "ravdess": ravdess(),
    "savee": [
        f"{who}/{code}{number:02}.wav"
        for who in ("DC", "JE", "JK", "KL")
        for code in ("a", "d", "f", "h", "n", "sa", "su")
        for number in range(1, 31 if code == "n" else 16)
    ],
    "emovo": [
        f"{who}/{code}-{who}-{sentence}.wav"
        for who in ("f1", "f2", "f3", "m1", "m2", "m3")
        for code in ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
        for sentence in (
            *("b1", "b2", "b3", "l1", "l2", "l3", "l4"),
            *("n1", "n2", "n3", "n4", "n5", "d1", "d2"),
        )
    ],
    "cafe": [
        f"{who:02}-{code}-{intensity}-{sentence}.wav"
        for who in range(1, 13)
        for code in "CDJNPST"
        for intensity in ((1,) if code == "N" else (1, 2))
        for sentence in range(1, 7)
    ],
    "jl_corpus": [
        f"JL(wav+txt)/{who}_{code}_{sentence}{half}_{take}.wav"
        for who in ("female1", "female2", "male1", "male2")
        for code in (
            *("angry", "sad", "neutral", "happy", "excited"),
            *("anxious", "apologetic", "assertive", "concerned", "encouraging"),
        )
        for sentence in range(1, 16)
        for half in "ab"
        for take in (1, 2)
    ],
}
"""All names of corpora whose design tells them."""


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_whole_copy_is_as_documented(name: str, tmp_path: Path) -> None:
    annotations = read(name, made(tmp_path, *WHOLE[name]))
    facts = annotations.facts
    assert facts is not None
    assert facts.differences(annotations.frame(), "emotion") == ()
    assert annotations.shortfall() == ""
    assert annotations.skips == ()
    has_transcripts = name not in ("savee", "jl_corpus")
    assert all(bool(u.transcript) == has_transcripts for u in annotations.utterances)
    assert bool(annotations.no_transcripts) == (not has_transcripts)


SOME = {
    "ravdess": ("03-01-08-02-02-01-12.flac", "12", "surprise", "Dogs are sitting by the door."),
    "cremad": ("AudioWAV/1040_ITH_SAD_X.wav", "1040", "sadness", None),
    "emodb": ("wav/03a01Fa.wav", "03", "joy", "Der Lappen liegt auf dem Eisschrank."),
    "savee": ("ALL/JK_sa05.wav", "JK", "sadness", ""),
    "tess": ("OAF_neutral/OA_bite_neutral.wav", "OAF", "neutral", "Say the word bite."),
    "esd": ("0011/Angry/test/0011_000371.wav", "0011", "anger", ""),
    "emovo": ("f1/gio-f1-b2.wav", "f1", "joy", "I vigili sono muniti di pistola."),
    "subesco": ("F_02_MONIKA_S_1_NEUTRAL_5.wav", "F_02", "neutral", ""),
    "cafe": ("Peur/Fort/11-P-2-6.wav", "11", "fear", "Six ours aimants domestiqués."),
    "jl_corpus": ("female1_excited_10a_1.wav", "female1", "excitement", ""),
    "shemo": ("female/F01W02.wav", "F01", "surprise", ""),
    "urdu": ("Happy/SM1_F10_H010.wav", "SM1", "joy", ""),
    "mesd": ("Anger_F_A_perro.wav", "", "anger", "perro"),
}
"""By corpus a name, and the speaker, emotion and transcript that it tells."""

BY_FILES = sorted(
    path.stem
    for path in (config_dir() / "corpus").glob("*.yaml")
    if "files" in OmegaConf.load(path).get("defaults", ())
)


def test_each_corpus_by_files_is_tried() -> None:
    assert sorted(SOME) == BY_FILES


@pytest.mark.parametrize("name", BY_FILES)
def test_a_name_tells(name: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("audit", [f"corpus={name}", "corpus.root=/data"])
    path, speaker, emotion, transcript = SOME[name]
    names = instantiate(cfg.corpus, _convert_="all").names
    parts = names.parse(path.rpartition(".")[0])
    assert parts is not None
    assert (parts.unknown, parts.dropped) == ((), "")
    values = parts.values
    assert (values.get("speaker", ""), values["emotion"]) == (speaker, emotion)
    expected = "I think I have a doctor's appointment." if transcript is None else transcript
    assert values.get("transcript", "") == expected
    if name == "esd":
        assert (values["split"], values["language"]) == ("test", "english")
    facts = cfg.corpus.facts
    classes = set(facts.get("total", {}).get("labels", {}).get("emotion", {}))
    assert classes <= {*cfg.corpus.codes.emotion.values()}
    if classes:
        assert classes == {*cfg.corpus.codes.emotion.values()}
    if facts.get("speakers"):
        assert speaker in facts.speakers


def test_two_speakers_are_in_all_splits_and_no_word_is(tmp_path: Path) -> None:
    words = [f"w{chr(97 + i)}" for i in range(20)]
    names = [
        f"{who}_{word}_{code}.wav"
        for who in ("OAF", "YAF")
        for word in words
        for code in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
    ]
    annotations = read("tess", made(tmp_path, *names))
    frame = annotations.frame()
    assert frame.groupby("word")["split"].nunique().max() == 1
    assert frame.groupby("split")["speaker"].nunique().tolist() == [2, 2, 2]
    assert annotations.split_origin == "made here, by word, seed 0"
    assert annotations.shortfall() == (
        "expected 2800 rows of 2 speakers, found 280 of 2: 40 of 400 anger, 40 of 400 disgust, "
        "40 of 400 fear, 40 of 400 joy, 40 of 400 neutral and 2 more"
    )


def test_videos_and_songs_of_ravdess_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made(tmp_path, *ravdess(), "Video/01-01-03-01-01-01-01.mp4", "Song/03-02-03-01-01-01-01.wav")
    made(tmp_path / "audio_speech_actors_01-24", *ravdess())
    annotations = read("ravdess", tmp_path)
    assert (len(annotations.utterances), annotations.shortfall()) == (1440, "")
    again, dropped = caplog.messages
    assert "1440 files stand there again by name and are taken once" in again
    assert "2 files are none of those to keep" in dropped


def test_ravdess_by_its_names_is_as_its_manifest(shared_data: Path) -> None:
    folder = shared_data / "ravdess"
    annotations = read("ravdess", folder)
    manifest = pd.read_csv(folder / "manifest.csv")
    assert len(annotations.utterances) == len(manifest) == 624
    of_manifest = manifest.set_index(manifest["file"].str.removesuffix(".flac")).add_suffix("_")
    rows = annotations.frame().set_index("key").join(of_manifest)
    assert (rows["emotion"] == rows["emotion_"]).all()
    assert ("actor" + rows["speaker"] == rows["speaker_"]).all()
    assert (rows["sex"] == rows["sex_"]).all()
    assert (rows["intensity"] == rows["intensity_"]).all()
    assert (rows["transcript"].str.rstrip(".") == rows["transcript_"]).all()
    assert Counter(rows["emotion"]) == Counter(manifest["emotion"])
    assert annotations.shortfall() == (
        "expected 1440 rows of 24 speakers, found 624 of 12: speakers 13 to 24 are missing, no calm"
    )
