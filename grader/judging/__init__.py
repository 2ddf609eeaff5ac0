"""Two observations become a verdict, and the traces of failures become the name of a mistake."""
