"""Figures and pages, made from files alone."""
