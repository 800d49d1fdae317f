"""``mmemo prepare``: a corpus, decoded, denoised and resampled once."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from mmemo.audio.journal import Shard
from mmemo.audio.preparation import open_prepared
from mmemo.audio.prepared import SKIPPED_FILE
from mmemo.commands.source import build_source
from mmemo.errors import InputError


def run(cfg: DictConfig) -> None:
    """Prepare the corpus and print what was kept and skipped."""
    start = time.monotonic()
    source = build_source(cfg)
    shard = build_shard(cfg.shard, cfg.shards)
    progress = source.preparer.prepare_shard(source.corpus.read(), source.denoiser, shard)
    if not progress.complete:
        print(
            f"shard {shard.index} of {shard.count} is done; {progress.num_finished} of "
            f"{progress.num_utterances} utterances are finished: {progress.folder}"
        )
        return
    prepared = open_prepared(progress.folder)
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
