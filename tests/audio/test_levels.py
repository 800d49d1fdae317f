from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmemo.audio.denoisers import Samples
from mmemo.audio.levels import denoising_faults, level_db
from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from tests.audio.conftest import Halver
from tests.conftest import MeldMaker


def test_level_is_the_root_mean_square() -> None:
    assert level_db(np.full(10, 0.1, np.float32)) == -20
    assert level_db(np.array([0.5, -0.5], np.float32)) == -6.02
    assert level_db(np.full(10, 1e10, np.float32)) == 200
    assert level_db(np.zeros(10, np.float32)) == level_db(np.zeros(0, np.float32)) == -200


def rows(*clips: tuple[str, str | None, float, float]) -> pd.DataFrame:
    columns = ["key", "transcript", "level_before_db", "level_after_db"]
    return pd.DataFrame(list(clips), columns=columns)


def test_lost_and_louder_clips_are_counted_and_the_worst_named() -> None:
    faults = denoising_faults(
        rows(
            ("kept", "Hi.", -20, -39.9),  # 1.02 % of the energy.
            ("lost", "Hi.", -20, -40.1),
            ("worse", "Hi.", -20, -80),
            ("no words", "...", -20, -80),
            ("nothing said", None, -20, -80),
            ("silence", "Hi.", -75, -200),
            ("as loud", "Hi.", -20, -19.1),
            ("louder", "Hi.", -20, -18.9),
        )
    )
    assert (faults.num_clips, faults.num_lost, faults.num_louder) == (8, 2, 1)
    assert faults.sentences() == [
        "denoising left less than 1% of the energy of 2 of 8 clips with words, the worst: "
        "worse (-20.0 dB before, -80.0 dB after); lost (-20.0 dB before, -40.1 dB after)",
        "denoising made 1 of 8 clips louder by more than 1 dB, the worst: "
        "louder (-20.0 dB before, -18.9 dB after)",
    ]


def test_no_fault_is_no_sentence() -> None:
    assert denoising_faults(rows(("a", "Hi.", -20, -21))).sentences() == []
    # A corpus of transcripts has no levels.
    silent = rows(("a", "Hi.", float("nan"), float("nan")))
    assert denoising_faults(silent).sentences() == []


class Silencer(Halver):
    name = "silencer"

    def __call__(self, waveform: Samples) -> Samples:
        return waveform / 1000


def test_preparing_records_the_level_before_and_after(make_meld: MeldMaker, tmp_path: Path) -> None:
    annotations = MeldCorpus(make_meld()).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    halved = preparer.prepare(annotations, Halver()).kept
    # A sine of amplitude 0.3, as the codec leaves it; half of it is 6.02 dB less.
    assert halved["level_before_db"].tolist() == pytest.approx([-13.5] * 15, abs=0.3)
    change_db = halved["level_after_db"] - halved["level_before_db"]
    assert change_db.tolist() == pytest.approx([-6.02] * 15, abs=0.02)
    plain = preparer.prepare(annotations, None).kept
    assert plain["level_after_db"].equals(plain["level_before_db"])
    assert denoising_faults(preparer.prepare(annotations, Silencer()).kept).num_lost == 15
