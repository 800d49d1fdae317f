"""``mmemo prepare``: a corpus, decoded, denoised and resampled once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
from hydra.utils import instantiate
from omegaconf import DictConfig
from pyarrow.csv import write_csv

from mmemo.audio.journal import Shard
from mmemo.audio.levels import denoising_faults
from mmemo.audio.preparation import open_prepared
from mmemo.audio.prepared import SKIPPED_FILE, PreparedCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.data.selection import STATE_COLUMNS, state_counts, utterance_states
from mmemo.errors import InputError
from mmemo.runs.data_source import build_data_source, joint_labels

NUM_NAMED = 3


def run(cfg: DictConfig) -> None:
    """Prepare the corpus and print what a label set keeps and skips of it."""
    start = time.monotonic()
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    source = build_data_source(cfg)
    shard = build_shard(cfg.shard, cfg.shards)
    annotations = source.read()
    labels = joint_labels(annotations, labels)
    progress = source.prepare_shard(annotations, shard)
    if not progress.complete:
        print(
            f"shard {shard.index} of {shard.count} is done; {progress.num_finished} of "
            f"{progress.num_utterances} utterances are finished: {progress.folder}"
        )
        return
    prepared = open_prepared(progress.folder)
    kept = prepared.kept
    hours = kept["num_samples"].sum() / prepared.sample_rate / 3600
    print(f"{hours:.2f} h of sound, {time.monotonic() - start:.1f} s")
    print(f"prepared corpus: {prepared.folder}")
    _report_states(prepared, kept, labels, cfg.min_duration_s)


def _report_states(
    prepared: PreparedCorpus, kept: pd.DataFrame, labels: LabelSet, min_duration_s: float
) -> None:
    """Write the one state of every row for a label set, and print how many are in which."""
    states = utterance_states(prepared.manifest, labels, min_duration_s, prepared.sample_rate)
    manifest = prepared.folder / f"manifest_{labels.name}.csv"
    # Arrow's writer takes a tenth of the time of pandas'; it quotes every text.
    table = pa.Table.from_pandas(states[list(STATE_COLUMNS)], preserve_index=False)
    write_csv(table, manifest)
    counts = state_counts(states)
    total = counts.loc["all"]
    if (prepared.manifest["status"] == "skipped").any():
        print(f"clips that cannot be used: {prepared.folder / SKIPPED_FILE}")
    print(f"manifest: {manifest}")
    if num_repaired := sum(prepared.meta.num_repaired.values()):
        print(f"rows with text of a wrong encoding, repaired: {num_repaired}")
    for sentence in (*reading_sentences(prepared), *denoising_faults(kept).sentences()):
        print(sentence)
    if num_cut := int(states["cut"].sum()):
        print(f"longer than {prepared.meta.max_duration_s:g} s and cut there: {num_cut}")
    print(counts.to_string())
    print(
        f"labels={labels.name}: {total['kept']} of {total['rows']} rows kept, "
        f"{total['rows'] - total['kept']} skipped"
    )


def reading_sentences(prepared: PreparedCorpus) -> Iterator[str]:
    """What to tell of clips that were read with damage or by a choice."""
    clips = prepared.manifest[prepared.manifest["source"].fillna("") != ""]
    kept = clips[clips["status"] == "kept"]
    bad = kept[kept["num_bad_packets"].fillna(0) > 0]
    if len(bad):
        num_bad, num_packets = bad["num_bad_packets"].sum(), bad["num_packets"].sum()
        yield (
            f"{len(bad)} clips are kept without the {num_bad} of their {num_packets} packets of "
            f"sound that cannot be decoded: {_first(bad['key'])}"
        )
    others = kept[kept["note"].fillna("").str.contains(" sound tracks ")]
    if len(others):
        yield (
            f"{len(others)} clips have several sound tracks (preparer.audio_track chooses): "
            f"{_first(others['key'] + ': ' + others['note'])}"
        )
    old = clips["num_packets"].isna() & (clips["status"] == "kept")
    if old.any():
        yield (
            f"{int(old.sum())} clips were read by an earlier mmemo, which did not count damage, "
            "refused each clip with any and heard the first of several tracks; to read them "
            f"again, remove {prepared.folder}"
        )


def _first(names: pd.Series[str]) -> str:
    shown = "; ".join(names.head(NUM_NAMED))
    return shown + (f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else "")


def build_shard(index: int, count: int) -> Shard:
    """The shard that ``shard=`` and ``shards=`` name.

    Raises:
        InputError: If there is no such shard.
    """
    if not 0 <= index < count:
        raise InputError(
            f"shard: expected a number from 0 to {count - 1}, one less than shards={count}, got "
            f"{index}; with shards=4, name shard=0,1,2,3"
        )
    return Shard(index, count)
