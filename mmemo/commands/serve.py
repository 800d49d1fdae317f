"""``mmemo serve``: a trained run as a page in the browser, and as a web API."""

from __future__ import annotations

import sys

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.commands.predict import names
from mmemo.prediction.loaded_run import LoadedRun
from mmemo.prediction.members import open_ensemble
from mmemo.prediction.options import PredictionOptions
from mmemo.runs.saved_config import trusted_names
from mmemo.serving.answering import AnsweringService, UploadLimits
from mmemo.serving.page import build_page
from mmemo.serving.server import address_of, is_local, listening_socket, serve, upload_folder
from mmemo.values import check_whole


def run(cfg: DictConfig) -> None:
    """Load the models once and answer until a signal ends it."""
    limits = UploadLimits(cfg.max_duration_s, cfg.max_upload_mb)
    check_whole("max_waiting", cfg.max_waiting, 1)
    check_whole("port", cfg.port, 0, 65535)
    # Before what takes time: another server may have the port.
    with listening_socket(cfg.host, cfg.port) as listening:
        loaded = LoadedRun(open_ensemble(names(cfg.run), trusted_names(cfg.trust), cfg.accelerator))
        transcriber = instantiate(cfg.get("asr"), _convert_="all")
        loaded.ensemble.check(
            [], PredictionOptions(transcriber=transcriber, audio_track=cfg.audio_track)
        )
        with upload_folder() as uploads:
            service = AnsweringService(
                loaded,
                uploads,
                limits,
                instantiate(cfg.explainer, _convert_="all", classes=loaded.labels),
                calibrated=cfg.calibrated,
                transcriber=transcriber,
                audio_track=cfg.audio_track,
            )
            page = build_page(service, cfg.max_waiting)
            if not is_local(listening):
                print(
                    f"mmemo: warning: host={cfg.host}: everybody who reaches this machine can use "
                    "the page; there is no password, and nothing is encrypted",
                    file=sys.stderr,
                )
            print(f"{'page':>17}: {address_of(listening)} (Ctrl-C ends it)", flush=True)
            serve(page, service, listening)
