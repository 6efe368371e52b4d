"""The public author API of shipper: what a processor may import."""
