"""How numbers are written in tables, figures and sentences, in every format alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmemo.metric_table import metric_words

if TYPE_CHECKING:
    from mmemo.evaluation.intervals import Interval
    from mmemo.evaluation.seed_summary import SeedSummary

UNDEFINED = "–"
SMALLEST_P = 0.001


def metric_name(metric: str) -> str:
    """``weighted F1`` for ``weighted_f1``; a metric without a name of its own is its own name."""
    return metric_words(metric)


def score(value: float | None, digits: int = 3) -> str:
    """A score with three decimals, a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference of scores with its sign; the minus is a real one, as wide as the plus."""
    return UNDEFINED if value is None else f"{value:+.3f}".replace("-", "−")


def mean_sd(summary: SeedSummary | None, digits: int = 3) -> str:
    """``0.812 ± 0.012``; the mean alone where one seed gives no standard deviation."""
    return UNDEFINED if summary is None else with_sd(summary.mean, summary.sd, digits)


def with_sd(mean: float, sd: float | None, digits: int = 3) -> str:
    """A mean and its standard deviation, as ``mean_sd``."""
    text = score(mean, digits)
    return text if sd is None else f"{text} ± {score(sd, digits)}"


def signed_mean_sd(summary: SeedSummary | None) -> str:
    """``+0.012 ± 0.004``, for a gain over seeds."""
    if summary is None:
        return UNDEFINED
    mean = signed(summary.mean)
    return mean if summary.sd is None else f"{mean} ± {score(summary.sd)}"


def interval(bounds: Interval | None, with_sign: bool = False) -> str:
    """``[0.761, 0.852]``."""
    if bounds is None:
        return UNDEFINED
    write = signed if with_sign else score
    return f"[{', '.join(write(bound) for bound in bounds)}]"


def p_value(value: float | None) -> str:
    """Three decimals; below what they can show, ``<0.001``."""
    if value is not None and value < SMALLEST_P:
        return f"<{SMALLEST_P}"
    return score(value)


def counted(num: int, name: str) -> str:
    """``271 dialogues``, ``1 speaker``."""
    return f"{num:,} {name}{'' if num == 1 else 's'}"


def percent(share: float) -> str:
    """``95 %`` for 0.95."""
    return f"{100 * share:g} %"


def parameters(count: int | None) -> str:
    """``94.6 M``, ``812 k``, ``640``."""
    if count is None:
        return UNDEFINED
    if count >= 1_000_000:
        return f"{count / 1e6:.1f} M"
    return f"{count / 1e3:.0f} k" if count >= 1_000 else str(count)


def duration(summary_s: SeedSummary | None) -> str:
    """Mean and deviation of seconds, both in the unit that suits the mean: s, min or h."""
    if summary_s is None:
        return UNDEFINED
    unit, seconds = "s", 1.0
    if summary_s.mean >= 7200:
        unit, seconds = "h", 3600.0
    elif summary_s.mean >= 120:
        unit, seconds = "min", 60.0
    sd = None if summary_s.sd is None else summary_s.sd / seconds
    return f"{with_sd(summary_s.mean / seconds, sd, 1)} {unit}"


def in_words(fields: Mapping[str, object]) -> dict[str, str]:
    """Fields of a protocol in words, by names in words, without those that hold nothing."""
    return {
        name.replace("_", " "): plain(value)
        for name, value in fields.items()
        if value is not None and not (isinstance(value, list | dict) and not value)
    }


def plain(value: object) -> str:
    """A value of a protocol in words: lists with commas, mappings as ``name value``."""
    if value is None or (isinstance(value, list | dict) and not value):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value)
    return str(value)
