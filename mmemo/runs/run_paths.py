"""The names of what lies in a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class RunPaths:
    """Paths inside one run folder.

    ``config.yaml`` is the resolved config, to be read; ``composed.yaml`` the config with its
    interpolations, which a run is built again from. ``run.json`` tells what happened,
    ``data.json`` what it was trained on.

    Args:
        path: The folder.
        missing: "audio" or "text" for the results, in a folder inside, of the run's model with
            that modality missing; None for the run's own.
        other: Name of the folder inside for the results on another corpus than that of the
            training: "on_table-1a2b3c4d"; None for its own.
    """

    INFO_NAME: ClassVar[str] = "run.json"

    path: Path
    missing: str | None = None
    other: str | None = None

    @property
    def results(self) -> Path:
        """Folder of predictions, metrics, figures and report."""
        folder = self._corpus_folder
        return folder / f"missing_{self.missing}" if self.missing else folder

    @property
    def _corpus_folder(self) -> Path:
        return self.path / self.other if self.other else self.path

    @property
    def info_file(self) -> Path:
        """What happened: status, times, versions, the chosen checkpoint."""
        return self.path / self.INFO_NAME

    @property
    def config_file(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def lock_file(self) -> Path:
        """Locked while a process works in the folder."""
        return self.path / ".lock"

    @property
    def composed_config_file(self) -> Path:
        """The config as it was composed, interpolations included."""
        return self.path / "composed.yaml"

    @property
    def data_file(self) -> Path:
        """Counts of what was read, kept, skipped and left out."""
        return self.path / "data.json"

    @property
    def evaluated_data_file(self) -> Path:
        """The same of the corpus that the results are of."""
        return self._corpus_folder / "data.json"

    @property
    def history_file(self) -> Path:
        """Metrics of each epoch."""
        return self.path / "history.csv"

    @property
    def tuning_file(self) -> Path:
        """Settings that were tried for a classical classifier; there for no other."""
        return self.path / "tuning.csv"

    @property
    def features_file(self) -> Path:
        """Features that were selected, and how much each counts; where any were."""
        return self.path / "features.csv"

    @property
    def last_checkpoint(self) -> Path:
        """State that training can be continued from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def embeddings_file(self) -> Path:
        """What of the training split's embeddings tells how far an input lies from them."""
        return self.path / "training_embeddings.npz"

    @property
    def abstention_file(self) -> Path:
        """Errors by the share that is answered, of the test split."""
        return self.results / "risk_coverage.png"

    @property
    def predictions_file(self) -> Path:
        """The prediction table."""
        return self.results / "predictions.parquet"

    @property
    def metrics_file(self) -> Path:
        """Metrics and their protocol."""
        return self.results / "metrics.json"

    @property
    def table_file(self) -> Path:
        """The metrics as a table."""
        return self.results / "metrics_table.csv"

    @property
    def confusion_file(self) -> Path:
        """Confusion matrix of the test split."""
        return self.results / "confusion_matrix.png"

    @property
    def curves_file(self) -> Path:
        """Loss and accuracy by epoch."""
        return self.results / "curves.png"

    @property
    def reliability_file(self) -> Path:
        """Accuracy by confidence of the test split."""
        return self.results / "reliability.png"

    @property
    def report_file(self) -> Path:
        """The page for people."""
        return self.results / "report.html"

    def assets(self, part: str) -> Path:
        """Folder with what an encoder needs beside its weights, or the denoiser."""
        return self.path / part
