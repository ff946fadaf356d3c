"""Calibration: a sample of pictures, edits of them, and what their cosines say of a threshold."""
