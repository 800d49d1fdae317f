"""Several corpora as one: rows that tell which corpus they are of, and the classes they share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeVar

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import NoClips
from mmemo.corpora.utterance import LabelSet, Skip, Utterance, joint_name
from mmemo.errors import InputError

Rule = Literal["intersection", "union"]
RULES: tuple[Rule, ...] = ("intersection", "union")

PART_NAME = re.compile(r"[A-Za-z_]\w*")
"""As a key of a config, that dots and signs would end."""

SHARED = "-shared"
"""Ends the name of a label set of which only what all corpora have is left."""

SEASONS_APART = 100
"""Seasons of the second corpus begin behind it, those of the third behind twice as many."""

APART = "expected the clips of several corpora to be asked of each; prepare them one by one"

_Read = TypeVar("_Read")


class Part(Protocol):
    """What is joined: a corpus as ``runs.data_source.Corpus`` describes it."""

    @property
    def has_clips(self) -> bool:
        """Whether clips were named."""
        ...

    def read(self) -> Annotations:
        """All rows."""
        ...


@dataclass(frozen=True)
class JointAnnotations(Annotations):
    """The rows of several corpora.

    Args:
        parts: Each corpus' own, by its name here, as it is prepared.
        rule: Which classes are told apart.
    """

    parts: Mapping[str, Annotations] = field(default_factory=dict)
    rule: Rule = "intersection"

    def shortfall(self) -> str:
        """What each copy lacks of its corpus, in one sentence."""
        found = {name: part.shortfall() for name, part in self.parts.items()}
        return "; ".join(f"{name}: {text}" for name, text in found.items() if text)

    def lacking(self, labels: LabelSet) -> dict[str, dict[str, int]]:
        """For each class of a label set that a corpus lacks, the rows of those that have some."""
        found = self._counts(labels.column)
        there = {
            label: {name: counts[label] for name, counts in found.items() if label in counts}
            for label in labels.classes
        }
        return {label: rows for label, rows in there.items() if len(rows) < len(self.parts)}

    def shared_labels(self, labels: LabelSet) -> LabelSet:
        """By intersection the classes that every corpus has, as ``NAME-shared``; by union all.

        Raises:
            InputError: If fewer than two are left.
        """
        left_out = self.lacking(labels)
        if self.rule == "union" or not left_out:
            return labels
        kept = {name: colour for name, colour in labels.colours.items() if name not in left_out}
        if len(kept) < 2:
            there = "; ".join(
                f"{name}: {', '.join(sorted(counts)) or 'none'}"
                for name, counts in self._counts(labels.column).items()
            )
            raise InputError(
                f"corpus={self.corpus}: expected at least two classes of labels={labels.name} in "
                f"the column {labels.column} of every corpus, found {', '.join(kept) or 'none'} "
                f"({there}); set corpus.rule=union, or choose other labels"
            )
        return LabelSet(f"{labels.name}{SHARED}", kept, labels.column)

    def sentences(self, labels: LabelSet) -> list[str]:
        """What becomes of the classes that not every corpus has, for people.

        Args:
            labels: As it was chosen.
        """
        done = "left out" if self.rule == "intersection" else "kept"
        return [
            f"corpus={self.corpus}, rule {self.rule}: {label} is {done}, which not every corpus "
            f"has ({', '.join(f'{name} {number}' for name, number in rows.items()) or 'none has'})"
            for label, rows in self.lacking(labels).items()
        ]

    def _counts(self, column: str) -> dict[str, Counter[str]]:
        return {
            name: Counter(str(label) for u in part.utterances if (label := getattr(u, column)))
            for name, part in self.parts.items()
        }


def shared_labels(annotations: Annotations, labels: LabelSet) -> LabelSet:
    """Of a label set the classes that are told apart: of several corpora by their rule.

    Raises:
        InputError: As ``JointAnnotations.shared_labels``.
    """
    if isinstance(annotations, JointAnnotations):
        return annotations.shared_labels(labels)
    return labels


class JointCorpus:
    """Reader of several corpora.

    A row's corpus is its corpus' name here; key and speaker have it in front, ``demo/train/…``;
    dialogues are numbered on, and so are seasons, by hundreds: what two corpora call alike is
    never one speaker, dialogue or episode. Each corpus is split as it splits itself.

    Args:
        parts: The corpora, by name.
        rule: "intersection" of their label sets, or "union".

    Raises:
        InputError: If there are fewer than two, a name is none, or there is no such rule.
    """

    def __init__(self, parts: Mapping[str, Part], rule: Rule = "intersection") -> None:
        if len(parts) < 2:
            raise InputError(
                f"corpus: expected two corpora or more, got {', '.join(parts) or 'none'}; write "
                "corpus=[demo,table]"
            )
        wrong = [name for name in parts if not PART_NAME.fullmatch(name)]
        nested = [name for name, part in parts.items() if isinstance(part, JointCorpus)]
        if wrong or nested:
            raise InputError(
                "corpus: expected corpora by names of letters, digits and _, got "
                f"{', '.join(wrong) or ', '.join(nested) + ', which are several themselves'}; "
                "write corpus=[own:table,theirs:table]"
            )
        if rule not in RULES:
            raise InputError(f"corpus.rule: expected one of {', '.join(RULES)}, got '{rule}'")
        self.parts = dict(parts)
        self.rule = rule
        self.name = "+".join(parts)

    @property
    def has_clips(self) -> bool:
        """Whether all of them were told where their clips are."""
        return all(part.has_clips for part in self.parts.values())

    def check(self) -> None:
        """Look for the files of all that can tell.

        Raises:
            InputError: As theirs do.
        """
        for name, part in self.parts.items():
            check = getattr(part, "check", None)
            if check is not None:
                of_part(name, check)

    def read(self) -> JointAnnotations:
        """Read the rows of all corpora, one after the other.

        Raises:
            InputError: As theirs do, saying which it is.
        """
        parts = {name: of_part(name, part.read) for name, part in self.parts.items()}
        utterances: list[Utterance] = []
        skips: list[Skip] = []
        num_repaired: dict[str, int] = {}
        num_dialogues = 0
        for place, (name, part) in enumerate(parts.items()):
            for u in part.utterances:
                utterances.append(
                    replace(
                        u,
                        corpus=name,
                        key=joint_name(name, u.key),
                        dialogue_id=u.dialogue_id + num_dialogues,
                        speaker=joint_name(name, u.speaker),
                        session=None if u.session is None else joint_name(name, u.session),
                        season=None if u.season is None else u.season + SEASONS_APART * place,
                    )
                )
            num_dialogues += 1 + max((u.dialogue_id for u in part.utterances), default=-1)
            skips += [replace(skip, key=joint_name(name, skip.key)) for skip in part.skips]
            for split, number in part.num_repaired.items():
                num_repaired[split] = num_repaired.get(split, 0) + number
        return JointAnnotations(
            corpus=self.name,
            utterances=tuple(utterances),
            clips=NoClips(APART),
            skips=tuple(skips),
            num_repaired=num_repaired,
            variant="; ".join(f"{name}: {part.variant}" for name, part in parts.items()),
            split_origin=_joint_origin({name: part.split_origin for name, part in parts.items()}),
            no_transcripts="; ".join(
                _of_part(name, part.no_transcripts)
                for name, part in parts.items()
                if part.no_transcripts
            ),
            parts=parts,
            rule=self.rule,
        )


def of_part(name: str, read: Callable[[], _Read]) -> _Read:
    """Let an error of one of several corpora say which, and how its settings are called.

    Raises:
        InputError: As it does.
    """
    try:
        return read()
    except InputError as error:
        raise InputError(_of_part(name, str(error))) from error


def _of_part(name: str, message: str) -> str:
    return f"{message} (this is of the corpus {name}: write corpus.{name}.KEY for corpus.KEY)"


def _joint_origin(origins: Mapping[str, str]) -> str:
    if len(set(origins.values())) == 1:
        return next(iter(origins.values()))
    return "; ".join(f"{name}: {origin}" for name, origin in origins.items())
