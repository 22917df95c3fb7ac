"""The stages of the pipeline, each from columns to columns."""
