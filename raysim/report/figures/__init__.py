"""Pictures of what a study has shown."""
