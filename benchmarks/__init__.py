"""The bench: workloads of real processes, measured and checked. ``python -m benchmarks``; see README.md."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # their Kafka broker is the bench's, too
