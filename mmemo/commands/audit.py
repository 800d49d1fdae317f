"""``mmemo audit``: count and check a corpus, from its annotations or as it was prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audit.clip_checks import check_clips
from mmemo.audit.findings import Audit, audit_corpus, audit_table, listed
from mmemo.audit.near_copies import find_near_copies
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.joint import JointAnnotations
from mmemo.corpora.utterance import LabelSet
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.folders import writable_folder

if TYPE_CHECKING:
    from mmemo.audio.prepared import PreparedCorpus

SHOWN_KEYS = 10


def run(cfg: DictConfig) -> None:
    """Audit, print the table, write ``audit.json`` and the page; of several corpora, of each too.

    Raises:
        InputError: If the samples of a prepared corpus are damaged; all results are written
            before.
    """
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    output = writable_folder(cfg.output_dir, "output_dir")
    if cfg.prepared:
        # Its import costs as much as a whole audit of annotations.
        from mmemo.audio.prepared import PreparedCorpus

        audits = {"": _audit_prepared(PreparedCorpus(Path(cfg.prepared)), labels)}
    else:
        audits = _audits(instantiate(cfg.corpus, _convert_="all").read(), labels, cfg.corpus)
    for audit in audits.values():
        if not any(split.num_in_label_set for split in audit.splits):
            raise InputError(
                f"labels={labels.name}: expected rows of {', '.join(labels.classes)} in the corpus "
                f"{audit.protocol.corpus}, found none; choose other labels"
            )
    # What draws the page is imported behind what can go wrong.
    from mmemo.audit.page import AUDIT_FILE, PAGE_FILE, write_audit_page
    from mmemo.audit.terminal import format_audit

    name = f"{audits[''].protocol.corpus}-{labels.name}-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    for part, audit in audits.items():
        shown = listed(audit)
        folder = output / "audit" / name / part
        folder.mkdir(parents=True, exist_ok=True)
        write_document(folder / AUDIT_FILE, shown)
        write_audit_page(folder)
        print(format_audit(shown))
        print(f"audit: {folder / AUDIT_FILE}\n page: {folder / PAGE_FILE}")
    _refuse_damage(audits[""])


def _audits(annotations: Annotations, labels: LabelSet, cfg: DictConfig) -> dict[str, Audit]:
    """Of several corpora each alone, then all together under the empty name."""
    audits = {}
    if isinstance(annotations, JointAnnotations):
        for name, part in annotations.parts.items():
            audits[name] = _audit_annotations(part, labels, cfg.parts[name])
        for sentence in annotations.sentences(labels):
            print(sentence)
    return audits | {"": _audit_annotations(annotations, labels, cfg)}


def _audit_annotations(annotations: Annotations, labels: LabelSet, corpus: DictConfig) -> Audit:
    table = audit_table(annotations.frame(), labels.column)
    num_unusable = _by_split(skip.split for skip in annotations.skips)
    places = (corpus.get(name) for name in ("csv", "annotations", "root", "folder"))
    source = str(next((place for place in places if place), annotations.corpus))
    num_repaired = annotations.num_repaired
    return audit_corpus(
        annotations.corpus,
        source,
        table,
        labels,
        num_unusable,
        num_repaired,
        facts=annotations.facts,
        has_own_split=annotations.has_own_split,
    )


def _audit_prepared(prepared: PreparedCorpus, labels: LabelSet) -> Audit:
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
    meta = prepared.meta
    return audit_corpus(
        meta.corpus,
        str(prepared.folder),
        table,
        labels,
        num_unusable,
        meta.num_repaired,
        clips,
        meta.facts,
        meta.has_own_split,
    )


def _by_split(splits: Iterable[str]) -> dict[str, int]:
    return dict(Counter(splits))


def _refuse_damage(audit: Audit) -> None:
    clips = audit.clips
    if clips is None or not clips.damaged:
        return
    shown = ", ".join(clips.damaged[:SHOWN_KEYS])
    if len(clips.damaged) > SHOWN_KEYS:
        shown += " and more"
    raise InputError(
        f"{audit.protocol.source}: expected the samples that were written when it was prepared, "
        f"got others for {len(clips.damaged)} utterances ({shown}); remove the folder and run "
        "`mmemo prepare` again"
    )
