"""Networks: one file per architecture, built from `esr.models.blocks`."""
