"""Known wrong turns: the catalogue, what each looks like, how one is recognised, and the trial of the suite by them."""
