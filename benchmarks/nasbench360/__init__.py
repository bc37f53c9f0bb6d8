"""NAS-Bench-360: classification and regression tasks of many modalities."""
