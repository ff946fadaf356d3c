"""Matching: candidates, geometry, agreement, relations, groups."""
