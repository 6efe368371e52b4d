"""The chain: processors compiled to a plan, and the engine that runs batches through it."""
