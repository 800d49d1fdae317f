"""``mmemo prepare``: a corpus, decoded, denoised and resampled once."""

from __future__ import annotations

import time

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audio.prepared import SKIPPED_FILE, PreparedCorpus
from mmemo.commands.source import build_source
from mmemo.corpora.utterance import LabelSet
from mmemo.data.selection import STATE_COLUMNS, state_counts, utterance_states


def run(cfg: DictConfig) -> None:
    """Prepare the corpus and print what a label set keeps and skips of it."""
    start = time.monotonic()
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    source = build_source(cfg)
    prepared = source.preparer.prepare(source.corpus.read(), source.denoiser)
    hours = prepared.kept["num_samples"].sum() / prepared.sample_rate / 3600
    print(f"{hours:.2f} h of sound, {time.monotonic() - start:.1f} s")
    print(f"prepared corpus: {prepared.folder}")
    _report_states(prepared, labels, cfg.min_duration_s)


def _report_states(prepared: PreparedCorpus, labels: LabelSet, min_duration_s: float) -> None:
    """Write the one state of every row for a label set, and print how many are in which."""
    states = utterance_states(prepared.manifest, labels, min_duration_s, prepared.sample_rate)
    manifest = prepared.folder / f"manifest_{labels.name}.csv"
    states[list(STATE_COLUMNS)].to_csv(manifest, index=False)
    counts = state_counts(states)
    total = counts.loc["all"]
    if (prepared.manifest["status"] == "skipped").any():
        print(f"clips that cannot be used: {prepared.folder / SKIPPED_FILE}")
    print(f"manifest: {manifest}")
    print(counts.to_string())
    print(
        f"labels={labels.name}: {total['kept']} of {total['rows']} rows kept, "
        f"{total['rows'] - total['kept']} skipped"
    )
