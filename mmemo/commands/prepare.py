"""``mmemo prepare``: a corpus, decoded, denoised and resampled once."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from mmemo.audio.prepared import SKIPPED_FILE
from mmemo.commands.source import build_source


def run(cfg: DictConfig) -> None:
    """Prepare the corpus and print what was kept and skipped."""
    start = time.monotonic()
    source = build_source(cfg)
    prepared = source.preparer.prepare(source.corpus.read(), source.denoiser)
    counts = prepared.counts()
    hours = prepared.kept["num_samples"].sum() / prepared.sample_rate / 3600
    print(counts.to_string())
    total = counts.loc["all"]
    print(
        f"{total['kept']} of {total['rows']} rows kept ({hours:.2f} h of sound), "
        f"{total['rows'] - total['kept']} skipped; {time.monotonic() - start:.1f} s"
    )
    if total["kept"] < total["rows"]:
        print(f"reasons: {prepared.folder / SKIPPED_FILE}")
    print(f"prepared corpus: {prepared.folder}")
