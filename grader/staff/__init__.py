"""What no release ever ships: classes, exports, nbgrader courses, releases themselves, and the trial of the suites."""
