"""Tables of what a study has shown."""
