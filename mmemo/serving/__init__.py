"""A trained run as a page in a browser, and as a web API."""
