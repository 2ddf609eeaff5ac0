"""What runs beside the learner's code: assemblies, seeded inputs, observations. It imports no other room."""
