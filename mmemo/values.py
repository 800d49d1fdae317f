"""Numbers that a user sets, checked where they are used."""

from __future__ import annotations

import math

from mmemo.errors import InputError

MAX_SEED = 2**32 - 1
"""The largest seed that numpy's generators take."""


def check_whole(setting: str, value: object, minimum: int, maximum: float = math.inf) -> None:
    """Refuse what is no whole number of a range.

    Args:
        setting: The option's name, for the message.
        value: What it is set to.
        minimum: The least that it may be.
        maximum: The most that it may be.

    Raises:
        InputError: If it is another one, or none.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{setting}: expected a whole number, got {value}")
    if value < minimum:
        raise InputError(f"{setting}: expected at least {minimum}, got {value}")
    if value > maximum:
        raise InputError(f"{setting}: expected at most {maximum}, got {value}")


def check_seed(setting: str, value: object) -> None:
    """Refuse what is no seed.

    Raises:
        InputError: If it is below 0, too large, or no whole number.
    """
    check_whole(setting, value, 0, MAX_SEED)


def check_real(
    setting: str, value: object, minimum: float, *, above: bool = False, below: float = math.inf
) -> None:
    """Refuse what is no finite number of a range.

    Args:
        setting: The option's name, for the message.
        value: What it is set to.
        minimum: The least that it may be.
        above: Whether it has to be more than that.
        below: What it has to be less than.

    Raises:
        InputError: If it is another one, or none, or not finite.
    """
    # Whatever it is compared with, what is no number is not within.
    number = float(value) if isinstance(value, int | float) else math.nan
    if (number > minimum if above else number >= minimum) and number < below:
        return
    upper = "" if below == math.inf else f" and below {below:g}"
    least = f"more than {minimum:g}" if above else f"at least {minimum:g}"
    raise InputError(f"{setting}: expected {least}{upper}, got {value}")
