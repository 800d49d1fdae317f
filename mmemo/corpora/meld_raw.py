"""Where MELD.Raw's parts lie on a disk: packed or unpacked, together or apart."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmemo.corpora.clip_archive import ClipArchive
from mmemo.corpora.clips import ClipFiles, ClipSource, NoClips
from mmemo.corpora.tar_members import tar_members
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError

CLIP_NAME = re.compile(r"(final_videos_test)?dia\d+_utt\d+\.mp4")
FINAL_PREFIX = "final_videos_test"


@dataclass(frozen=True)
class SplitLayout:
    """Names that MELD.Raw uses for one split."""

    annotations: str
    clips: str
    archive: str


LAYOUT = {
    "train": SplitLayout("train_sent_emo.csv", "train_splits", "train.tar.gz"),
    "val": SplitLayout("dev_sent_emo.csv", "dev_splits_complete", "dev.tar.gz"),
    "test": SplitLayout("test_sent_emo.csv", "output_repeated_splits_test", "test.tar.gz"),
}


class MeldRaw:
    """MELD.Raw as people have it.

    Args:
        root: Folder with the clips: the folders ``train_splits``, ``dev_splits_complete`` and
            ``output_repeated_splits_test``, or the archives ``train.tar.gz``, ``dev.tar.gz`` and
            ``test.tar.gz``; None where only the annotations are there.
        annotations: Folder with the CSVs; None to look beside the clips.
        use_final_videos: Take a clip's ``final_videos_test…`` version where there is one.
    """

    def __init__(self, root: Path | None, annotations: Path | None, use_final_videos: bool) -> None:
        self.root = root
        self.annotations = annotations
        self.use_final_videos = use_final_videos

    def clips_folder(self, split: str) -> Path | None:
        """Folder of a split's clips; None where it is packed."""
        found = self._find(LAYOUT[split].clips)
        return found if found is not None and found.is_dir() else None

    def archive(self, split: str) -> Path | None:
        """Archive of a split's clips; None where there is none."""
        found = self._find(LAYOUT[split].archive)
        return found if found is not None and found.is_file() else None

    def _find(self, name: str) -> Path | None:
        """What has a name in the root or one folder below."""
        if self.root is None:
            return None
        candidates = [self.root / name, *sorted(self.root.glob(f"*/{name}"))]
        return next((path for path in candidates if path.exists()), None)

    def clip_path(self, split: str, name: str) -> Path:
        """Where a clip lies, or would lie if its archive were unpacked."""
        folder = self.clips_folder(split) or (self.root or Path()) / LAYOUT[split].clips
        return folder / name

    def clip_source(self, split: str, utterances: Iterable[Utterance]) -> ClipSource:
        """Folder or archive that a split's clips are read from.

        The archive where both are there: a folder beside it may have been unpacked in part.
        """
        layout = LAYOUT[split]
        if self.root is None:
            return NoClips(
                "corpus.root: expected the folder of MELD.Raw, got none; give it with "
                "corpus.root=DIR, or train on transcripts alone with audio_encoder=none"
            )
        archive = self.archive(split)
        if archive is not None:
            return ClipArchive(archive, self._names(utterances), CLIP_NAME)
        if self.clips_folder(split) is not None:
            return ClipFiles(self._names(utterances) if self.use_final_videos else None)
        found = "found a file" if (self.root / layout.clips).exists() else "found neither"
        return NoClips(
            f"{self.root / layout.clips}: expected the folder with the clips of the split "
            f"'{split}' or the archive {layout.archive}, {found}; unpack MELD.Raw.tar.gz and "
            "name its folder with corpus.root=DIR"
        )

    def _names(self, utterances: Iterable[Utterance]) -> dict[str, tuple[str, ...]]:
        """For each utterance's key the names that its clip may have, best first."""
        plain = {u.key: os.path.basename(u.media_path) for u in utterances}  # noqa: PTH119
        if self.use_final_videos:
            return {key: (FINAL_PREFIX + name, name) for key, name in plain.items()}
        return {key: (name,) for key, name in plain.items()}

    def check_annotations(self) -> None:
        """Look for the CSVs, where they are files of their own.

        Raises:
            InputError: If one is not there.
        """
        for split in LAYOUT:
            if self.annotations is not None or self.archive(split) is None:
                self.annotation_file(split)

    def annotation_file(self, split: str) -> tuple[str, Path | io.BytesIO]:
        """A split's CSV: its name for messages, and where to read it.

        Raises:
            InputError: If it is not found.
        """
        name = LAYOUT[split].annotations
        if self.annotations is not None:
            path = self.annotations / name
            if path.is_file():
                return str(path), path
            raise _not_found(path, "name its folder with corpus.annotations=DIR")
        if self.root is None:
            raise InputError(
                "corpus.root: expected the folder of MELD.Raw, or corpus.annotations with that "
                "of its CSVs, got neither; give one of them"
            )
        folder, archive = self.clips_folder(split), self.archive(split)
        places = [self.root, *([folder.parent, folder] if folder else [])]
        places += [archive.parent] if archive else []
        for place in places:
            if (place / name).is_file():
                return str(place / name), place / name
        packed = _read_packed(archive, name) if archive else None
        if packed is not None:
            return f"{archive}:{name}", packed
        raise _not_found(
            self.root / name,
            "put the CSVs of MELD.Raw beside the clips, or name their folder with "
            "corpus.annotations=DIR",
        )


def _not_found(path: Path, remedy: str) -> InputError:
    found = "found a folder" if path.is_dir() else "found nothing"
    return InputError(f"{path}: expected an annotation CSV, {found}; {remedy}")


def _read_packed(archive: Path, name: str) -> io.BytesIO | None:
    """A CSV that stands only inside an archive; it is looked for up to the archive's end."""
    for member in tar_members(archive, lambda found: found == name):
        if not member.refusal:
            return io.BytesIO(member.content)
    return None
