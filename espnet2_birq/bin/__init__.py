"""Commands: one thin module per verb, run as ``python -m espnet2_birq.bin.<verb>``."""
