"""Cross-modal fine-tuning: one pretrained transformer, one task of another modality.

The package knows how to train; it knows no task by name, no Ray and no Arrow.
"""

__version__ = "0.1.0"
