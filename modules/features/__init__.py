"""Extractors and what they stand on: decoding, hashes, keypoints."""
