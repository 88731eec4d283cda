"""What `esr fetch` does: published weights and data sets, from their official places to where `esr` finds them."""
