"""What a class hands in, as it comes: found, read with limits in a process of its own, and told what it is."""
