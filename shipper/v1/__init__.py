"""Generated from proto/shipper/v1: do not edit."""
