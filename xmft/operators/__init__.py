"""Networks from fields to fields that know of no pretraining."""
