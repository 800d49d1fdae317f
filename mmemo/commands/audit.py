"""``mmemo audit``: count and check a corpus, from its annotations or as it was prepared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo import __version__
from mmemo.audit.clip_checks import SPAN_TOLERANCE_S, check_clips
from mmemo.audit.durations import BIN_S, LONG_S, MAX_LETTERS_PER_S, SHORT_S
from mmemo.audit.findings import MAX_LISTED, Audit, audit_corpus, audit_table, listed
from mmemo.audit.near_copies import find_near_copies
from mmemo.audit.text import format_audit
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.utterance import LabelSet
from mmemo.errors import InputError
from mmemo.folders import writable_folder, write_whole

if TYPE_CHECKING:
    from mmemo.audio.prepared import PreparedCorpus

SHOWN_KEYS = 10


@dataclass(frozen=True)
class _Audited:
    """A corpus' name, where it was read, and what was found."""

    corpus: str
    source: str
    audit: Audit


def run(cfg: DictConfig) -> None:
    """Audit, print the table, write ``audit.json`` and the page.

    Raises:
        InputError: If the samples of a prepared corpus are damaged; all results are written
            before.
    """
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    output = writable_folder(cfg.output_dir, "output_dir")
    if cfg.prepared:
        # Its import costs as much as a whole audit of annotations.
        from mmemo.audio.prepared import PreparedCorpus

        audited = _audit_prepared(PreparedCorpus(Path(cfg.prepared)), labels)
    else:
        audited = _audit_annotations(instantiate(cfg.corpus, _convert_="all").read(), labels, cfg)
    if not any(split.num_in_label_set for split in audited.audit.splits):
        raise InputError(
            f"labels={labels.name}: expected rows of {', '.join(labels.classes)} in the corpus "
            f"{audited.corpus}, found none; choose other labels"
        )
    # What draws the page is imported behind what can go wrong.
    from mmemo.audit.page import AUDIT_FILE, PAGE_FILE, write_audit_page

    document = _document(audited, labels)
    name = f"{audited.corpus}-{labels.name}-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    folder = output / "audit" / name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    write_whole(folder / AUDIT_FILE, text)
    write_audit_page(folder)
    print(format_audit(document))
    print(f"audit: {folder / AUDIT_FILE}\n page: {folder / PAGE_FILE}")
    _refuse_damage(audited)


def _audit_annotations(annotations: Annotations, labels: LabelSet, cfg: DictConfig) -> _Audited:
    table = audit_table(annotations.frame(), labels.column)
    num_unusable = _by_split(skip.split for skip in annotations.skips)
    audit = audit_corpus(annotations.corpus, table, labels, num_unusable, annotations.num_repaired)
    places = (cfg.corpus.get(name) for name in ("csv", "annotations", "root", "folder"))
    source = next((place for place in places if place), annotations.corpus)
    return _Audited(annotations.corpus, str(source), audit)


def _audit_prepared(prepared: PreparedCorpus, labels: LabelSet) -> _Audited:
    prepared.check_sound()
    manifest = prepared.manifest
    is_usable = manifest["emotion"].notna()
    table = audit_table(manifest[is_usable], labels.column)
    damaged = prepared.damaged()
    kept = table[(table["status"] == "kept") & ~table["key"].isin(damaged)].reset_index(drop=True)
    places = list(kept[["audio_file", "offset", "num_samples"]].itertuples(index=False, name=None))
    near = find_near_copies(kept, prepared.sample_rate, lambda row: prepared.samples(*places[row]))
    clips = check_clips(table, prepared.sample_rate, damaged, near)
    num_unusable = _by_split(manifest["split"][~is_usable])
    corpus = str(prepared.meta["corpus"])
    num_repaired = prepared.meta["num_repaired"]
    audit = audit_corpus(corpus, table, labels, num_unusable, num_repaired, clips)
    return _Audited(corpus, str(prepared.folder), audit)


def _by_split(splits: Iterable[str]) -> dict[str, int]:
    return dict(Counter(splits))


def _document(audited: _Audited, labels: LabelSet) -> dict[str, Any]:
    """What ``audit.json`` holds."""
    protocol = {
        "mmemo_version": __version__,
        "corpus": audited.corpus,
        "source": audited.source,
        "is_prepared": audited.audit.clips is not None,
        "labels": labels.name,
        "label_column": labels.column,
        "classes": list(labels.classes),
        "colours": labels.colours,
        "limits": {
            "short_s": SHORT_S,
            "long_s": LONG_S,
            "max_letters_per_s": MAX_LETTERS_PER_S,
            "span_tolerance_s": SPAN_TOLERANCE_S,
            "histogram_bin_s": BIN_S,
            "max_listed": MAX_LISTED,
        },
    }
    return {"protocol": protocol, **asdict(listed(audited.audit))}


def _refuse_damage(audited: _Audited) -> None:
    clips = audited.audit.clips
    if clips is None or not clips.damaged:
        return
    shown = ", ".join(clips.damaged[:SHOWN_KEYS])
    if len(clips.damaged) > SHOWN_KEYS:
        shown += " and more"
    raise InputError(
        f"{audited.source}: expected the samples that were written when it was prepared, got "
        f"others for {len(clips.damaged)} utterances ({shown}); remove "
        "the folder and run `mmemo prepare` again"
    )
