"""Releases: the repository that students get, which judges by recorded numbers instead of by the reference's code."""
