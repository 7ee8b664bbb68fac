"""Data directories, audio decoding and formatting, token lists, corpora. Imports no torch, to start at once."""
