"""Models that leave the recipe: export for stock ESPnet, packs, model cards, upload and download."""
