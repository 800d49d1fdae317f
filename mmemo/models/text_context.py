"""An utterance's tokens among those of the utterances around it, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmemo.data.frontends import Tokens


@dataclass(frozen=True)
class Layout:
    """Which special tokens a model wants.

    Args:
        prefix: Ids before the first utterance.
        separator: Id between two utterances.
        suffix: Ids after the last utterance.
    """

    prefix: tuple[int, ...]
    separator: int
    suffix: tuple[int, ...]

    def before_end(self, ids: Sequence[int]) -> Layout:
        """The same with tokens behind the last utterance, whose room is theirs."""
        return replace(self, suffix=(self.separator, *ids, *self.suffix))

    def place(
        self,
        own: Sequence[int],
        before: Sequence[Sequence[int]],
        after: Sequence[Sequence[int]],
        max_tokens: int,
    ) -> Tokens:
        """Put an utterance between its context.

        The budget goes to the utterance first, which alone is cut at its end; then to the
        earlier utterances from the nearest on, then to the later ones from the nearest on. Of
        the farthest that is still heard only the side next to the utterance may be left.

        Args:
            own: The utterance's tokens, without special ones.
            before: Tokens of each earlier utterance, oldest first.
            after: Tokens of each later utterance, oldest first.
            max_tokens: Tokens that may be returned, special ones included.

        Returns:
            The tokens; which of them are the utterance's own, where others are among them.
        """
        budget = max_tokens - len(self.prefix) - len(self.suffix)
        own = own[: max(budget, 0)]
        budget -= len(own)
        left: list[int] = []
        for utterance in reversed(before):
            # One token is the separator's.
            kept = list(utterance[max(len(utterance) - (budget - 1), 0) :]) if budget > 1 else []
            if kept:
                left = [*kept, self.separator, *left]
                budget -= len(kept) + 1
        right: list[int] = []
        for utterance in after:
            kept = list(utterance[: budget - 1]) if budget > 1 else []
            if kept:
                right += [self.separator, *kept]
                budget -= len(kept) + 1
        start = len(self.prefix) + len(left)
        ids = [*self.prefix, *left, *own, *right, *self.suffix]
        return Tokens(ids, (start, start + len(own)) if own and (left or right) else None)
