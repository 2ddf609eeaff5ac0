"""The engine: it builds assemblies, runs checks on them and renders the results. It knows no exercise by name."""
