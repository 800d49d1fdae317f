"""``mmemo stress``: a run when sound is bad, words are wrong, or a modality is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.audio.denoisers import Denoiser, Samples
from mmemo.cores import num_cores
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.folders import check_writable, write_whole
from mmemo.prediction.options import Transcriber
from mmemo.reporting.tables import plain_console, print_table, printed
from mmemo.runs.predictor import Predictor
from mmemo.runs.rebuilt_run import rebuild_model
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from mmemo.runs.saved_config import trusted_names
from mmemo.stress.answers import AnswerStore
from mmemo.stress.document import STRESS_FILE, STRESS_FOLDER, StressDocument
from mmemo.stress.findings import StressFindings
from mmemo.stress.page import SHOWN_METRIC, summary_lines, write_stress_page
from mmemo.stress.runner import Recogniser, StressRunner
from mmemo.stress.series import RecogniserName, Series, chosen_conditions, usable_series
from mmemo.stress.sound_pool import SoundWorker, open_sound_pool
from mmemo.stress.tables import frame, short_table
from mmemo.stress.test_set import StressSet, open_test_set
from mmemo.values import check_seed, check_whole

ANSWERS_FOLDER = "answers"


def run(cfg: DictConfig) -> None:
    """Ask the model under each condition, and write what it is worth under them."""
    _check(cfg)
    run_folder = RunFolder.open(cfg.run)
    check_writable(run_folder.path)
    # With conditions=[] there is no such key.
    chosen = (cfg.get("conditions") or {}).values()
    series: list[Series] = [instantiate(one, _convert_="all") for one in chosen if one is not None]
    series, left_out = usable_series(series)
    for reason in left_out:
        print(f"left out: {reason}", flush=True)
    model = rebuild_model(cfg.run, trusted_names(cfg.trust), cfg.accelerator)
    predictor = Predictor(model)
    output = run_folder.path / STRESS_FOLDER
    output.mkdir(exist_ok=True)
    with open_test_set(
        model, cfg.prepared, cfg.unit, cfg.seed, output, predictor.reads_dialogues
    ) as every:
        given = _some(every, cfg.num_utterances, cfg.seed)
        document = _stressed(cfg, series, predictor, given, len(every), output)
    _write(replace(document, left_out=tuple(left_out)), output)


def _check(cfg: DictConfig) -> None:
    check_seed("seed", cfg.seed)
    for name, minimum in (("num_utterances", 1), ("num_workers", 0)):
        if cfg[name] is not None:
            check_whole(name, cfg[name], minimum)
    # Perturbations are built at each level, where a missing setting is no error of Hydra's.
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise InputError(f"{missing[0]}: expected a value, got none; give it with {missing[0]}=…")


def _some(given: StressSet, num: int | None, seed: int) -> StressSet:
    if num is None or num >= len(given):
        return given
    return given.drawn(num, seed)


def _stressed(
    cfg: DictConfig,
    series: Sequence[Series],
    predictor: Predictor,
    given: StressSet,
    num_of_test: int,
    output: Path,
) -> StressDocument:
    own = predictor.preprocessing.denoiser
    other: Denoiser | None = None
    if own is None and given.originals:
        other = instantiate(cfg.denoiser, _convert_="all")
        if other is not None:
            other.check()
    conditions = chosen_conditions(
        series,
        predictor.modalities,
        predictor.labels.classes,
        None if cfg.get("asr") is None else _recogniser_name(cfg),
        (own is None) != (other is None),
    )
    transcriber: Transcriber | None = instantiate(cfg.get("asr"), _convert_="all")
    store = AnswerStore(
        output / ANSWERS_FOLDER,
        file_digest(chosen_checkpoint(predictor.folder)),
        given.table["key"].tolist(),
        predictor.labels.classes,
        cfg.seed,
        _sound_digest(given, other),
    )
    worker = SoundWorker(predictor.clip_worker(), other, given.voices)
    workers = num_cores() if cfg.num_workers is None else cfg.num_workers
    recogniser = None if transcriber is None else _recogniser(transcriber)
    runner = StressRunner(predictor, given, None, store, cfg.seed, recogniser)
    cost = runner.cost(conditions)
    print(
        f"{len(given)} of {num_of_test} test utterances under {cost.num_conditions} conditions, "
        f"{cost.num_kept} of them known already: {cost.num_passes:,} forward passes, "
        f"{cost.num_prepared:,} sounds to prepare"
        + (f", {cost.num_recognised:,} to recognise" if cost.num_recognised else ""),
        flush=True,
    )
    if not given.originals:
        answers = runner.run(conditions, _tell)
    else:
        with open_sound_pool(worker, workers if cost.num_prepared else 0) as pool:
            answers = replace(runner, pool=pool).run(conditions, _tell)
    names = [None if d is None else f"{d.name} {d.version}" for d in (own, other)]
    found = StressFindings.of(given, predictor.labels.classes, answers, *names)
    return found.document(predictor, num_of_test, cfg.seed)


def _tell(line: str) -> None:
    print(line, flush=True)


def _recogniser_name(cfg: DictConfig) -> RecogniserName:
    """By all that its words depend on: not how many sounds are written down together, and where."""
    settings = OmegaConf.to_container(cfg.asr, resolve=True)
    assert isinstance(settings, dict)
    told = {str(k): v for k, v in settings.items() if k not in ("batch_size", "accelerator")}
    checkpoint, target = told.get("checkpoint"), str(told["_target_"])
    label = Path(str(checkpoint)).name if checkpoint else target.rpartition(".")[2]
    return RecogniserName(label, repr(sorted(told.items())))


def _recogniser(transcriber: Transcriber) -> Recogniser:
    def words(speech: Sequence[Samples]) -> list[str]:
        return [" ".join(word.text for word in said) for said in transcriber(speech)]

    return words


def _sound_digest(given: StressSet, other: Denoiser | None) -> str:
    """What sound conditions begin with, the voices of babble, and the other denoiser."""
    digest = hashlib.sha256(repr(None if other is None else (other.name, other.version)).encode())
    for original in given.originals:
        clip = original.clip
        state = None if clip is None else (clip.num_bytes, clip.modified_s, clip.crc32)
        digest.update(f"{original.key} {state}\n".encode())
    for voice in given.voices:
        digest.update(np.ascontiguousarray(voice).tobytes())
    return digest.hexdigest()


def _write(document: StressDocument, output: Path) -> None:
    files = {
        "results": output / STRESS_FILE,
        "table": output / "stress.csv",
        "page": output / "stress.html",
    }
    write_document(files["results"], document)
    write_whole(files["table"], frame(document).to_csv(index=False))
    write_stress_page(document, files["page"])
    console = plain_console()
    print_table(console, short_table(document, SHOWN_METRIC))
    print(printed(console))
    for line in summary_lines(document):
        print(line)
    print()
    for label, path in files.items():
        print(f"{label:>17}: {path}")
