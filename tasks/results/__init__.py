"""What was found in videos: searched by name, and exported to the formats of other tools."""
