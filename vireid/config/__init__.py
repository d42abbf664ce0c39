"""Options: their defaults, how files and the command line change them, what they must satisfy."""

from vireid.config.load import apply_overrides, dump_config, load_config

__all__ = ["apply_overrides", "dump_config", "load_config"]
