"""Distances and penalties that align the target embedder with the pretrained source."""
