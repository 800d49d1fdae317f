"""Which settings an estimator may be built with: they may be from somebody else's run folder."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mmemo.errors import InputError

PASSED_ON = ("deterministic", "force_row_wise", "max_bin", "verbose")
"""Of what LightGBM passes on to its library, that which no file is opened for."""

NAME = re.compile(r"[\w.\-]+")
"""LightGBM joins its settings with blanks and its library splits them there: behind a blank, a
text would be a setting of its own, such as a file's name."""


def check_settings(
    model: Any,  # noqa: ANN401
    grid: Mapping[str, Sequence[Any]],
    parameters: Collection[str],
) -> None:
    """Let an estimator and its grid have nothing but known settings, whose texts are names.

    Args:
        model: The estimator, not fitted.
        grid: By name of the pipeline's parameter the values that are tried.
        parameters: Names that a grid may have.

    Raises:
        InputError: If they have others.
    """
    taken = inspect.signature(type(model)).parameters
    settings = model.get_params(deep=False)
    for name, value in settings.items():
        # LightGBM takes any name, and passes it on to what also reads and writes files.
        if name not in taken and name not in PASSED_ON:
            raise InputError(
                f"classifier.model.{name}: expected a setting of {type(model).__name__}, "
                f"one of {', '.join(taken)}"
            )
        _check_texts(f"classifier.model.{name}", value)
    for name, values in grid.items():
        if name not in parameters:
            raise InputError(
                f"classifier.grid.{name}: expected a parameter of the pipeline, one of "
                f"{', '.join(sorted(parameters))}"
            )
        _check_texts(f"classifier.grid.{name}", values)


def _check_texts(option: str, value: object) -> None:
    for text in _texts(value):
        if not NAME.fullmatch(text):
            raise InputError(
                f"{option}: expected a name of letters, digits, '_', '.' and '-', got "
                f"'{text[:60]}'; correct it"
            )


def _texts(value: object) -> Iterator[str]:
    """All texts in a value, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, Sequence | set | frozenset):
        for inner in value:
            yield from _texts(inner)
