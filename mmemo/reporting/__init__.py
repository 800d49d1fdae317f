"""Base template, tables, figures, and the report of a run, made from files alone."""
