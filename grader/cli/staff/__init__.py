"""Commands for authors and instructors; a release has none of them."""
