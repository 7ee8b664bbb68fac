"""What the recipe pipeline needs to know about its own past: fingerprints, finished stages, resumable trainings."""
