"""What a real process says of itself on its admin port."""

import urllib.request


def metric(port: int, name: str) -> float:
    """The value of a metric, named with its labels; 0 if it is not there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), 0.0)
