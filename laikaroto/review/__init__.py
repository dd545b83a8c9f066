"""Static pages that show a result or a training in a browser, with no network and no server."""
