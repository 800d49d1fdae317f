"""Answers of trained runs on sound and words of anybody's."""
