"""The isolated judge: code under test runs in a locked-down child, and the verdict is made where it can't reach."""
