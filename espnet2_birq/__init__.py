"""BiRQ speech pretraining (arXiv 2509.15430) as an ESPnet plugin."""

__version__ = "0.1.0"
