"""Loss, optimisation and callbacks: no architecture."""
