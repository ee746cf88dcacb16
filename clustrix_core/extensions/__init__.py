"""The extensions that come with the core: wrappers around the hooks of any backend, chosen in the config."""
