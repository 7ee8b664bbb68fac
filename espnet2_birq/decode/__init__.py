"""From an ASR model to text, error rates and RESULTS.md. Scoring imports no torch, so that it starts at once."""
