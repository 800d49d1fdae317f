"""How far several raters of the same clips agree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """How far raters agree, beyond chance.

    Args:
        num_items: Clips that the number is of: those with the usual number of ratings.
        num_raters: That number.
        kappa: Fleiss' kappa, Fleiss 1971, "Measuring nominal scale agreement among many raters";
            None where it is not defined: all are of one class, or there is one of each clip.
        num_ties: Clips of all that no label has most votes of.
    """

    num_items: int
    num_raters: int
    kappa: float | None
    num_ties: int

    def sentence(self) -> str:
        """It in words."""
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.3f}"
        return (
            f"{self.num_raters} ratings of {self.num_items} clips: Fleiss' kappa {kappa}; "
            f"{self.num_ties} ties"
        )
