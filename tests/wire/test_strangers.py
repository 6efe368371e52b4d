"""What gRPC's trace says about handshakes. The lines are those of grpcio 1.85."""

import os
import subprocess
import sys

from shipper.wire.strangers import PATIENCE, Handshakes, reason

ARGS = (
    "grpc.experimental.event_engine=0x55, grpc.internal.endpoint_local_address=ipv4:127.0.0.1:7001, "
    "grpc.internal.endpoint_peer_address=ipv4:10.0.0.7:41566, grpc.internal.server_credentials=0x55, "
    "grpc.so_reuseport=0}, read_buffer.Length()=0, exit_early=0}"
)
HEAD = "I1121 06:58:18.504775   24456 handshaker.cc:155] CallNextHandshakerLocked: error="
BEGUN = f"{HEAD}OK shutdown=false index=1, args={{endpoint=0x7f, args={{{ARGS}"
DONE = f"{HEAD}OK shutdown=false index=2, args={{endpoint=0x7f, args={{grpc.auth_context=0x7f, {ARGS}"
FAILED = [
    (
        f"{HEAD}UNKNOWN: Ssl handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:100000c0:SSL routines:"
        "OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE: Invalid certificate verification context: OK"
    ),
    "=== Source Location Trace: ===",
    "src/core/util/status_helper.cc:68",
    f" shutdown=false index=2, args={{endpoint=0x7f, args={{{ARGS}",
]
PEER = "ipv4:10.0.0.7:41566"


def test_a_failed_handshake_has_a_peer_and_a_reason() -> None:
    handshakes = Handshakes()
    found = [handshakes.line(line, 0.0) for line in [BEGUN, *FAILED, DONE]]
    (failure,) = filter(None, found)
    assert failure[0] == PEER
    assert reason(failure[1]) == "the TLS handshake failed: it showed no certificate, and client_ca asks for one"


def test_who_asks_for_something_is_never_named() -> None:
    handshakes = Handshakes()
    handshakes.line(DONE, 0.0)
    handshakes.called(PEER)
    assert handshakes.silent(PATIENCE * 2) == []


def test_who_is_silent_is_named_once_when_its_patience_is_over() -> None:
    handshakes = Handshakes()
    handshakes.line(DONE, 1.0)
    assert handshakes.silent(PATIENCE) == []
    assert handshakes.silent(1.0 + PATIENCE) == [PEER]
    assert handshakes.silent(100.0) == []


def test_connections_that_this_process_makes_are_not_strangers() -> None:
    handshakes = Handshakes()
    for line in [*FAILED, DONE]:
        assert handshakes.line(line.replace("grpc.internal.server_credentials", "grpc.internal.x"), 0.0) is None
    assert not handshakes.waiting


def test_only_lines_that_tell_something_are_looked_at() -> None:
    handshakes = Handshakes()
    assert [handshakes.tells(line.encode()) for line in (BEGUN, "I1121 noise", DONE, FAILED[0])] == [0, 0, 1, 1]
    handshakes.line(FAILED[0], 0.0)
    assert all(handshakes.tells(line.encode()) for line in FAILED[1:])


def test_lines_cut_short_and_others_are_passed_over() -> None:
    handshakes = Handshakes()
    for line in ["", "rubbish", FAILED[0][:200], "I1121 06:58:18.5 24456 other.cc:1] text", FAILED[3], HEAD, BEGUN]:
        handshakes.line(line, 0.0)
    assert not handshakes.waiting


def test_a_peer_that_says_nothing_is_told_from_one_that_goes_away() -> None:
    assert "said nothing, or too slowly" in reason("DEADLINE_EXCEEDED: Handshake timed out")
    assert "perhaps it does not trust" in reason("UNAVAILABLE: Socket closed")


def test_child_processes_do_not_inherit_what_grpc_was_asked() -> None:
    program = "from shipper.wire import channel; import os; print(*os.environ, bool(channel.strangers._pipe))"
    given = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True)
    *names, asked = done.stdout.split()
    assert asked == "True"
    assert not {"GRPC_VERBOSITY", "GRPC_TRACE"} & set(names)
