"""What authors wrote, read as data: the syllabus, suites, hints, stubs, and what this copy of the project holds."""
