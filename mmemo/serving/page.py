"""The page: an upload or a microphone, words, an answer, and its explanation on request."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from mmemo.corpora.text_table import MAX_TRANSCRIPT_CHARS
from mmemo.errors import InputError
from mmemo.explanation.figures import explanation_figures
from mmemo.explanation.page import render_explanation
from mmemo.explanation.passes import ExplanationError
from mmemo.explanation.selection import PREDICTED
from mmemo.prediction.answers import answer_row
from mmemo.prediction.notes import reading_notes, training_notes
from mmemo.reporting.self_contained import render_page
from mmemo.runs.input_errors import input_error
from mmemo.serving.answering import KEPT_S, AnsweringService, Upload

MODEL_QUEUE = "model"
"""Of all that asks the model."""

FAULT = "Something went wrong on the server, whose log tells what. It is no fault of your sound."

CLEAR = "() => null"
"""In the browser: empties an input."""

Sent = Mapping[str, Any] | str | None
"""What names an upload: its path on the server, beside the name that it had, or alone."""


class ServedPage:
    """What the page and the web API do with what they are sent.

    Args:
        service: Answers and explains.
    """

    def __init__(self, service: AnsweringService) -> None:
        self.service = service
        self._ensemble = service.run.ensemble
        self._colours = self._ensemble.labels.colours

    @property
    def title(self) -> str:
        """Whose answers these are."""
        return ", ".join(predictor.folder.path.name for predictor in self._ensemble.predictors)

    def head(self) -> str:
        """What stands above all."""
        notes = [note for p in self._ensemble.predictors for note in training_notes(p)]
        return render_page(
            "served_head.html.j2",
            title=self.title,
            notes=list(dict.fromkeys(notes)),
            kept_min=f"{KEPT_S / 60:g}",
        )

    def answer(
        self, file: Sent, microphone: Sent, words: str | None, request: gr.Request
    ) -> tuple[str, object, str]:
        """The answer as HTML; whether to offer an explanation; nothing where the last one was."""
        try:
            upload = _upload(file or microphone)
            answer = self.service.answer(upload, words, request.session_hash)
            notes = reading_notes(self._ensemble, [answer], self.service.calibrated, False)
            shown = render_page(
                "served_answer.html.j2",
                error="",
                answer=answer,
                colours=self._colours,
                num_models=len(self._ensemble.predictors),
                notes=list(notes),
            )
        except Exception as error:
            return _shown(error), gr.update(visible=False), ""
        return shown, gr.update(visible=self.service.can_explain), ""

    def explain(self, target: str, request: gr.Request) -> str:
        """The explanation of the visitor's last answer as HTML."""
        try:
            explained = self.service.explain(request.session_hash or "", target)
            page = render_explanation(
                explained.explanation,
                None,
                self._colours,
                explanation_figures(explained.explanation),
                {},
                is_saved=False,
            )
        except Exception as error:
            return _shown(error)
        calibrated = self.service.calibrated
        return render_page("served_explanation.html.j2", page=page, calibrated=calibrated)

    def predict(self, sound: Sent = None, words: str | None = None) -> dict[str, Any]:
        """Answer on an upload, words, or both.

        It is the row of ``mmemo predict output=answers.jsonl``, with ``file`` for its ``path``: a
        client of Gradio's would fetch what is called so.

        Args:
            sound: The path that ``/gradio_api/upload`` has answered.
            words: What is said.
        """
        try:
            if words is not None and not isinstance(words, str):
                raise InputError(f"words: expected text, got {json.dumps(words)[:60]}")
            answer = self.service.answer(_upload(sound), words)
        except Exception as error:
            raise gr.Error(_message_of(error), print_exception=False) from error
        row = answer_row(answer, self.service.calibrated)
        return {"file": row.pop("path"), **row}

    def forget(self, request: gr.Request) -> None:
        """Drop what was kept for a visitor who has gone."""
        self.service.forget(request.session_hash or "")


def build_page(service: AnsweringService, max_waiting: int) -> gr.Blocks:
    """The page and the web API of a service.

    Args:
        service: Answers and explains.
        max_waiting: Questions that may wait for those before them; more are turned away.
    """
    does = ServedPage(service)
    queued: dict[str, Any] = {"concurrency_id": MODEL_QUEUE, "concurrency_limit": 1}
    # As they are sent: an upload is neither copied nor read by Gradio.
    event: dict[str, Any] = {**queued, "preprocess": False, "api_visibility": "private"}
    page = gr.Blocks(title=f"mmemo: {does.title}", analytics_enabled=False)
    with page:
        gr.HTML(does.head())
        with gr.Row():
            with gr.Column():
                file, microphone, words = _inputs(service)
                ask = gr.Button("Answer", variant="primary", elem_id="ask")
            with gr.Column():
                answer = gr.HTML()
                with gr.Row(visible=False) as offer:
                    classes = [PREDICTED, *service.run.labels]
                    target = gr.Dropdown(classes, value=PREDICTED, label="Explain the class")
                    why = gr.Button("Explain", elem_id="explain")
                if not service.can_explain:
                    gr.Markdown("An explanation is of one run: serve it alone.")
        explanation = gr.HTML()
        for trigger in (ask.click, words.submit):
            trigger(does.answer, [file, microphone, words], [answer, offer, explanation], **event)
        why.click(does.explain, target, explanation, **event)
        page.unload(does.forget)
        api(does.predict, api_name="predict", **queued)
    for block in page.blocks.values():
        # Gradio's own would fetch addresses, and copy files that are read once.
        setattr(block, "async_move_resource_to_block_cache", _as_it_lies)  # noqa: B010
    page.queue(max_size=max_waiting, api_open=False)
    return page


def _inputs(service: AnsweringService) -> tuple[gr.File, gr.Audio, gr.Textbox]:
    """A file or the microphone, whichever was used last, and words; what is read is shown."""
    limits = service.limits
    file = gr.File(
        label="A file of sound or video: "
        f"at most {limits.max_duration_s:g} s, {limits.max_upload_mb:g} MB",
        visible=service.accepts_sound,
        elem_id="file",
    )
    microphone = gr.Audio(
        sources=["microphone"],
        type="filepath",
        label="Or the microphone",
        visible=service.accepts_sound,
        elem_id="microphone",
        editable=False,
        # One of them would send the sound to a hub.
        buttons=[],
    )
    words = gr.Textbox(
        label="What is said" + (" (empty: it is written down)" if service.writes_down else ""),
        lines=2,
        max_length=MAX_TRANSCRIPT_CHARS,
        visible=service.accepts_words,
        elem_id="words",
    )
    file.upload(fn=None, js=CLEAR, outputs=microphone)
    microphone.stop_recording(fn=None, js=CLEAR, outputs=file)
    return file, microphone, words


async def _as_it_lies(path: str) -> str:
    return path


def _upload(sent: Sent) -> Upload | None:
    """The upload that is named.

    Raises:
        InputError: If something else is.
    """
    if sent is None or sent == "":
        return None
    path = sent.get("path") if isinstance(sent, Mapping) else sent
    if not isinstance(path, str) or not path or "\0" in path:
        raise InputError(
            "sound: expected the path that an upload was answered with, got "
            f"{json.dumps(sent)[:60]}; upload the file first"
        )
    name = sent.get("orig_name") if isinstance(sent, Mapping) else None
    return Upload(Path(path), str(name) if name else Path(path).name)


def _shown(error: Exception) -> str:
    return render_page("served_answer.html.j2", error=_message_of(error))


def _message_of(error: Exception) -> str:
    """What a visitor is told of an error; what nobody has foreseen is told to the log."""
    problem = error if isinstance(error, ExplanationError) else input_error(error)
    if problem is not None:
        return str(problem)
    traceback.print_exception(error, file=sys.stderr)
    return FAULT
