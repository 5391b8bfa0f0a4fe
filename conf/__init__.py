"""Settings: TOML, environment and options → the configs of the stages."""
