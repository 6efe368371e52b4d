"""How long acknowledgements take while a collector is attacked: ``python -m benchmarks.hostile``.

The collector has one core. On the other a sender of one frame every 10 ms measures from its write to the Ack, and
``intruders.py`` attacks at the lowest priority. For each attack, rounds of the sender alone and of the sender during it
take turns, since the machine's disk and neighbours change meanwhile; p50 and p99 are of all rounds together.
"""

import argparse
import asyncio
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.fleet import drafts
from benchmarks.latency import percentile
from benchmarks.processes import Child, Cores
from benchmarks.report import number
from benchmarks.rig import Rig
from shipper import lean
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import CHANNEL_OPTIONS, METHOD, PROTOCOL, aio, grpc
from shipper.wire.window import encode_frames

_EVERY: Final = 0.01
_MS: Final = 1000.0
_MIB: Final = 1024 * 1024
_SETTLE: Final = 1.0


@dataclass(frozen=True)
class Attack:
    """One kind at one rate. ``tls``: at a port that asks for certificates."""

    kind: str
    rate: float
    tls: bool = False


ATTACKS: Final = [
    Attack("random bytes", 200),
    Attack("HTTP/1", 200),
    Attack("silence", 200),
    Attack("HTTP/2 without a call", 200),
    Attack("bombs", 50),
    Attack("oversized", 10),
    Attack("wrong certificates", 50, tls=True),
    Attack("silence", 5000),
    Attack("HTTP/2 without a call", 5000),
]


@dataclass
class Result:
    """Milliseconds to each acknowledgement."""

    alone: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    peak: int = 0
    cpu: float = 0.0
    """Cores that the collector used during the attack."""


class Sender:
    """A stream that sends one frame at a time."""

    def __init__(self, port: int, folder: Path | None) -> None:
        if folder is None:
            self._channel = aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        else:
            server, own, key = ((folder / name).read_bytes() for name in ("server.pem", "own.pem", "own.key"))
            credentials = grpc.ssl_channel_credentials(server, key, own)
            self._channel = aio.secure_channel(f"127.0.0.1:{port}", credentials, options=CHANNEL_OPTIONS)
        self._frame = drafts(10)[0]
        self._stream = os.urandom(16)
        self._sent = 0

    async def connect(self) -> None:
        """Hello and Welcome."""
        method: Any = self._channel.stream_stream(METHOD)
        self._call = method()
        hello = pb.Hello(stream=self._stream, epoch=1, incarnation=self._stream, protocol=PROTOCOL, floor=1)
        await self._call.write(pb.ShipRequest(hello=hello).SerializeToString())
        await self._call.read()

    async def measure(self, seconds: float) -> list[float]:
        """Send for so long."""
        took: list[float] = []
        end = time.monotonic() + seconds
        due = time.monotonic()
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            began = time.monotonic()
            self._sent += 1
            await self._call.write(encode_frames(self._sent, [self._frame.stamp(self._stream, self._sent)[0]]))
            while pb.ShipResponse.FromString(await self._call.read()).ack.next <= self._sent:
                pass
            took.append(_MS * (time.monotonic() - began))
            due = max(due + _EVERY, time.monotonic())
        return took


async def _measure(attack: Attack, rounds: int, seconds: float, folder: Path, cores: Cores) -> Result:
    result = Result()
    with Rig(folder / "hostile", cores) as rig:
        sources: dict[str, Any] = {"type": "grpc", "listen": f"127.0.0.1:{rig.port}"}
        if attack.tls:
            _certificates(rig.folder)
            names = {"cert": "server.pem", "key": "server.key", "client_ca": "own.pem"}
            sources["tls"] = {name: str(rig.folder / file) for name, file in names.items()}
        collector = rig.collector({"type": "blackhole"}, {"sources": {"edge": sources}}, core=cores.measured)
        sender = Sender(rig.port, rig.folder if attack.tls else None)
        await sender.connect()
        await sender.measure(_SETTLE)
        for number_ in range(rounds):
            result.alone += await sender.measure(seconds)
            arguments = [attack.kind, str(rig.port), str(seconds + _SETTLE), str(attack.rate), str(rig.folder)]
            intruder = rig.start(f"intruder-{number_}", ["-m", "benchmarks.intruders", *arguments], cores.other)
            await asyncio.sleep(_SETTLE)
            before, began = collector.cpu(), time.monotonic()
            result.during += await sender.measure(seconds)
            result.cpu = max(result.cpu, (collector.cpu() - before) / (time.monotonic() - began))
            await asyncio.to_thread(_ended, intruder, seconds)
            result.peak = max(result.peak, collector.peak_rss())
            await sender.measure(_SETTLE)
    return result


def _ended(intruder: Child, seconds: float) -> None:
    intruder.wait(seconds + 60)


def _certificates(folder: Path) -> None:
    """A collector's, a sender's that it trusts, and one that it does not."""
    for name in ("server", "own", "wrong"):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        files: list[str | Path] = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(["openssl", "req", "-x509", *curve, *files, *subject], check=True, capture_output=True)


def line(attack: Attack, result: Result) -> str:
    """A row of the table."""
    figures = [percentile(took, share) for share in (50, 99) for took in (result.alone, result.during)]
    cells = [f"{attack.kind}{' (mTLS)' if attack.tls else ''}, {attack.rate:,.0f} a second", *map(number, figures)]
    cells += [number(max(result.alone)), number(max(result.during)), number(result.cpu), number(result.peak / _MIB)]
    return f"| {' | '.join(cells)} | {len(result.during):,} |"


HEAD: Final = (
    "| attack | p50 alone | p50 during | p99 alone | p99 during | longest alone | longest during | collector cores "
    "| peak RSS MiB | samples during |\n|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure every attack, in milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each half of a round")
    parser.add_argument("--only", help="attacks whose name contains this")
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent / "work")
    args = parser.parse_args()
    lean.raise_file_limit()
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.other})
    args.dir.mkdir(parents=True, exist_ok=True)
    print(HEAD)
    for attack in ATTACKS:
        if args.only is None or args.only in attack.kind:
            print(line(attack, asyncio.run(_measure(attack, args.rounds, args.seconds, args.dir, cores))), flush=True)


if __name__ == "__main__":
    main()
