"""What the Markdown of README and docs/ holds: blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
INLINE = re.compile(r"`((?:mmemo|pip install) [^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"[A-Z_]+=\S+")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        language: Behind its fence.
        title: The file that it is the content of; "" for none.
        text: Its lines.
        why_not: Why no test runs it; "" where one does.
    """

    language: str
    title: str
    text: str
    why_not: str


@dataclass(frozen=True)
class Command:
    """A command line, split as a shell does.

    Args:
        page: Name of the file where it stands.
        words: Program and arguments, without variables in front of them.
        has_gaps: Whether a part of it is left to the reader.
    """

    page: str
    words: tuple[str, ...]
    has_gaps: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """All blocks of code, in order."""
    return [
        Block(m["language"], m["title"] or "", m["text"], m["reason"] or "")
        for m in FENCE.finditer(text)
    ]


def commands_of(text: str, page: str, with_inline: bool = True) -> Iterator[Command]:
    """Each command of a page: of its blocks of shell lines, and in its sentences."""
    for block in blocks(text):
        if block.language == "bash" and not block.why_not:
            yield from _commands(block.text, page)
    for found in INLINE.finditer(FENCE.sub("", text)) if with_inline else ():
        yield from _commands(found[1], page)


def _commands(text: str, page: str) -> Iterator[Command]:
    words: list[str] = []
    for word in [*_words(text), "\n"]:
        if word.strip("\n") not in ("", "&&"):
            words.append(word)
            continue
        while words and VARIABLE.fullmatch(words[0]):
            words.pop(0)
        if words:
            # What is left to the reader is written as a word of its own.
            kept = tuple(w for w in words if w != "…")
            yield Command(page, kept, len(kept) < len(words))
        words = []


def _words(text: str) -> Iterator[str]:
    """Words of shell lines, with the ends of lines and ``&&`` between them."""
    # A command within a command is one of its own.
    text = re.sub(r'eval "\$\((.+)\)"', r"\1", re.sub(r"(?m)(^|\s)# .*$", "", text))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="\n&")
    lexer.whitespace, lexer.commenters = " \t\r", ""
    lexer.whitespace_split = True
    yield from lexer


def links(text: str) -> list[str]:
    """Targets of links and pictures, outside of code."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text)))
