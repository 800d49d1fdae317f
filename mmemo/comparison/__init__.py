"""Runs compared: results, groups, statistics, tables, figures, page."""
