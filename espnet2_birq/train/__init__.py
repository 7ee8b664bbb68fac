"""What ESPnet's trainer lacks."""
