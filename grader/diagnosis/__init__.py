"""From the marks that failing code leaves to the name of the mistake: what is seen is compared with what is known."""
