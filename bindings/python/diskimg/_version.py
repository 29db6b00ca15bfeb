"""The version of this package, which is the version of libdiskimg that it is written for."""

__version__ = "0.1.0"
