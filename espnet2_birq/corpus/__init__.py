"""Data directories, audio decoding and formatting, token lists, corpora. Imports no torch, so commands start at once."""
