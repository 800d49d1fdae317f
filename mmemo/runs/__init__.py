"""Run folders: what a run was made of, and the run built again from it."""
