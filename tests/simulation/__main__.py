"""Replay one world: ``PYTHONPATH=tests .venv/bin/python -m simulation SEED STEPS PLAN``, a name of ``plans.py``."""

import sys

from simulation.plans import PLANS
from simulation.simulation import Simulation

simulation = Simulation(int(sys.argv[1]), PLANS[sys.argv[3]])
figures = simulation.run(int(sys.argv[2]))
written = sum(simulation.written.values())
sys.stdout.write(f"{figures.steps} steps, {figures.seconds:.6f} s, {written} lines, trace {figures.trace:08x}\n")
