"""The fixture that authors use."""

from shipper.testing import run_chain

__all__ = ["run_chain"]
