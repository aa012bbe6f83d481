"""The HTTP routes, by meaning. Each module has one function `routes(site)`; none of them keeps state."""
