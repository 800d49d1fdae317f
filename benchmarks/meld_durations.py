"""How long MELD's clips are, for benchmarks that need its shape and not its content.

    python benchmarks/meld_durations.py FACTS

writes the recorded lengths anew from a list of the real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

RECORDED = Path(__file__).with_name("meld_durations.csv")
NUM_UTTERANCES = 13_708
NUM_PARTS = 200


def draw_clips(num_utterances: int, facts: Path | None) -> pd.DataFrame:
    """Durations and layouts of so many clips, spread evenly over MELD's own distribution.

    Args:
        num_utterances: How many.
        facts: CSV with the columns ``file_audio_s`` and ``file_audio_is_stereo``, a row for each
            clip; None for the recorded means of 200 equal parts of the same.

    Returns:
        ``duration_s`` and ``layout``, shuffled with a fixed seed.
    """
    pieces = []
    for layout, (share, sorted_s) in _distribution(facts).items():
        size = max(1, round(share * num_utterances))
        places = (np.arange(size) + 0.5) / size
        durations_s = sorted_s[(places * len(sorted_s)).astype(int)]
        pieces.append(pd.DataFrame({"duration_s": durations_s, "layout": layout}))
    drawn = pd.concat(pieces).sample(frac=1, random_state=0).head(num_utterances)
    return drawn.reset_index(drop=True)


def _distribution(facts: Path | None) -> dict[str, tuple[float, np.ndarray]]:
    """For each layout its share of the clips and its sorted durations, or those of their parts."""
    if facts is None:
        table = pd.read_csv(RECORDED)
        shares = {name: float(table.loc[0, f"{name}_share"]) for name in ("stereo", "5.1")}
        return {name: (share, table[f"{name}_s"].to_numpy()) for name, share in shares.items()}
    clips = pd.read_csv(facts).dropna(subset=["file_audio_s"])
    is_stereo = clips["file_audio_is_stereo"] == 1
    return {
        layout: (
            float(chosen.mean()),
            np.sort(clips.loc[chosen, "file_audio_s"].to_numpy(dtype=np.float64)),
        )
        for layout, chosen in (("stereo", is_stereo), ("5.1", ~is_stereo))
    }


def record(facts: Path) -> None:
    """Write the means of 200 equal parts of the sorted durations beside this file."""
    columns: dict[str, np.ndarray | float] = {}
    for layout, (share, durations_s) in _distribution(facts).items():
        columns[f"{layout}_share"] = round(share, 5)
        parts = np.array_split(durations_s, NUM_PARTS)
        columns[f"{layout}_s"] = np.array([part.mean() for part in parts]).round(4)
    pd.DataFrame(columns).to_csv(RECORDED, index=False)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
