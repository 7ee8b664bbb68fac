"""ESPnet tasks with the plugin's classes registered."""
