"""raven-agent: keeps folders in step with a Raven-compatible document server.

The package is private: commands, JSON and exit codes are the public interface.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
