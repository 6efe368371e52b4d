"""YAML files -> typed structs, with every error of them at once.

``document`` reads files into nodes that know their lines; ``expand`` replaces ``${VAR}``; ``decode`` turns nodes into
values of annotated types; ``load`` puts sources, processors and sinks together; ``schema`` is for editors.
"""

from shipper.config.load import load
from shipper.config.model import AdminConfig, BatchConfig, Config, DeadLettersConfig, ProcessorSpec, SpoolConfig

__all__ = ["AdminConfig", "BatchConfig", "Config", "DeadLettersConfig", "ProcessorSpec", "SpoolConfig", "load"]
