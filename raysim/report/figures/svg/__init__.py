"""Pictures as SVG text for a page: pure functions of what they show; colours and letters come from the page's CSS."""
