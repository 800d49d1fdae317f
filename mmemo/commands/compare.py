"""``mmemo compare``: run folders side by side, without a model."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.comparison.runs import find_runs, labelled, read_runs
from mmemo.documents import write_document
from mmemo.evaluation.confusion_scores import check_metric
from mmemo.folders import config_dir, writable_folder, write_whole
from mmemo.runs.own_metrics import build_own_metrics, own_directions

if TYPE_CHECKING:
    from mmemo.comparison.comparison import Comparison
    from mmemo.comparison.document import ComparisonDocument


def run(cfg: DictConfig) -> None:
    """Compare the runs in some folders; print the tables, then write them and the page."""
    folders = [Path(folder).expanduser().absolute() for folder in cfg.folders]
    found = find_runs(folders)
    own = own_directions(cfg)
    check_metric(cfg.metric, list(own))
    # What tests the differences is imported only now.
    from mmemo.comparison.exports import terminal_text
    from mmemo.comparison.published import read_published

    built = partial(build_own_metrics, cfg) if own else None
    comparison: Comparison = instantiate(cfg.comparison, _convert_="all", own=built)
    results, left_out = read_runs(found)
    if cfg.label is not None:
        labels = [cfg.label] if isinstance(cfg.label, str) else list(map(str, cfg.label))
        results = labelled(results, folders, labels)
    published = read_published(config_dir() / "published")
    document = comparison.compare(results, left_out, published)
    output = writable_folder(cfg.output or _beside(folders), "output")
    print(terminal_text(document), flush=True)
    for label, path in _write(document, output).items():
        print(f"{label:>17}: {path}")


def _beside(folders: list[Path]) -> Path:
    return Path(os.path.commonpath(folders)) / "comparison"


def _write(document: ComparisonDocument, output: Path) -> dict[str, Path]:
    # The tables are on the screen before what draws the page is imported.
    from mmemo.comparison.exports import frame, latex, markdown
    from mmemo.comparison.page import write_comparison_page

    files = {
        "comparison": output / "comparison.json",
        "table": output / "comparison.csv",
        "Markdown": output / "comparison.md",
        "LaTeX": output / "comparison.tex",
        "page": output / "comparison.html",
    }
    write_document(files["comparison"], document)
    write_whole(files["table"], frame(document).to_csv(index=False))
    write_whole(files["Markdown"], markdown(document))
    write_whole(files["LaTeX"], latex(document))
    write_comparison_page(document, files["page"])
    return files
