"""Known wrong turns: the catalogue, and recordings of what each looks like."""
