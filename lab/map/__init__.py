"""The bird's-eye map: one HTML file in which a run's own model lives and can be looked at, offline."""
