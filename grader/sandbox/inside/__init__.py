"""What runs in the sandbox's child: its confinement, and probes on the code under test. It imports `probing` alone."""
