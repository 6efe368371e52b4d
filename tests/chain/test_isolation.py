"""``isolation: process``: code that hangs, eats memory or ends its process costs the record that made it do so."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bad_processors import HARM, Choosy, Declared, Numbered, Obey, ObeyAll, Unrepeatable
from support.processes import wait_for
from support.python_path import TESTS, environment

from shipper.batch import Record
from shipper.chain.run import Chain
from shipper.errors import ConfigError
from shipper.processor import Processor
from shipper.testing import ChainResult, run_batch, start_chain
from shipper.units import ByteSize, Duration
from shipper_processors.add_fields import AddFields
from shipper_processors.drop import Drop
from shipper_processors.parse_json import ParseJson

LIMITS: dict[str, Any] = {
    "isolation": "process",
    "deadline": Duration(60),
    "max_memory": ByteSize(256 << 20),
}
"""The deadline is one that no harmless record needs, on however busy a machine."""
HASTY: dict[str, Any] = LIMITS | {"deadline": Duration(0.5)}
"""For records that hang."""
LINES = [f"line {number}" for number in range(100)]


@pytest.fixture(scope="module")
def obey() -> Iterator[Chain]:
    chain = start_chain([Obey(**LIMITS)])
    yield chain
    chain.teardown()


@pytest.fixture(scope="module")
def obey_all() -> Iterator[Chain]:
    chain = start_chain([ObeyAll(**LIMITS)])
    yield chain
    chain.teardown()


@pytest.fixture(scope="module")
def hasty() -> Iterator[Chain]:
    chain = start_chain([Obey(**HASTY)])
    yield chain
    chain.teardown()


def children(parent: int) -> set[int]:
    """The process ids of the children of a process's first thread."""
    return set(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


@contextmanager
def isolated(processor: Processor, state: dict[str, bytes] | None = None) -> Iterator[tuple[Chain, Callable[[], int]]]:
    """A chain, and what gives the process id of its child."""
    others = children(os.getpid())
    chain = start_chain([processor], state=state)
    yield chain, lambda: min(children(os.getpid()) - others)
    chain.teardown()


def messages(result: ChainResult) -> list[str]:
    return [record["message"] for record in result.records]


@pytest.mark.parametrize("harm", HARM)
def test_the_record_that_does_harm_fails_and_the_others_go_on_in_order(obey: Chain, hasty: Chain, harm: str) -> None:
    result = run_batch(hasty if harm == "hang" else obey, [*LINES[:37], harm, *LINES[37:]])
    assert messages(result) == LINES
    assert all(record["seen"] for record in result.records)
    assert [(letter.raw, letter.index, letter.error) for letter in result.dead_letters] == [
        (harm.encode(), 37, HARM[harm])
    ]


@pytest.mark.parametrize("harm", ["exit", "segfault", "allocate", "garbage"])
def test_a_batch_processed_at_once_is_divided_until_the_record_is_found(obey_all: Chain, harm: str) -> None:
    result = run_batch(obey_all, [*LINES[:5], harm, *LINES[5:9]])
    assert messages(result) == LINES[:9]
    assert [(letter.index, letter.error) for letter in result.dead_letters] == [(5, HARM[harm])]


def test_a_batch_in_which_one_record_hangs_takes_a_deadline_for_each_division() -> None:
    chain = start_chain([ObeyAll(**HASTY)])
    result = run_batch(chain, [*LINES[:2], "hang"])
    chain.teardown()
    assert messages(result) == LINES[:2]
    assert [letter.error for letter in result.dead_letters] == [HARM["hang"]]


def test_every_harmful_record_fails_when_there_are_several(obey: Chain) -> None:
    result = run_batch(obey, ["exit", "a", "segfault", "allocate", "b", "exit"])
    assert messages(result) == ["a", "b"]
    assert [letter.error for letter in result.dead_letters] == [
        HARM[harm] for harm in ("exit", "segfault", "allocate", "exit")
    ]


ASKED = st.lists(st.sampled_from([*LINES[:5], "drop", "two", "raise", "sys.exit", "wrong", "reverse", "é\x00"]))


def in_process(processor: Processor, lines: list[str]) -> ChainResult:
    chain = start_chain([processor])
    result = run_batch(chain, lines)
    chain.teardown()
    return result


def same(left: ChainResult, right: ChainResult) -> bool:
    return left.batch == right.batch


@settings(max_examples=60)
@given(ASKED)
def test_harmless_records_become_what_they_become_in_process(obey: Chain, obey_all: Chain, lines: list[str]) -> None:
    """Errors with their types and texts, records split and dropped, in their order."""
    assert same(run_batch(obey, lines), in_process(Obey(), lines))
    assert same(run_batch(obey_all, lines), in_process(ObeyAll(), lines))


def chain_of(*, isolated: bool) -> Chain:
    """Standard processors and one that declares its fields, which a plan shows no more than these."""
    limits = LIMITS if isolated else {}
    return start_chain(
        [
            ParseJson(**limits),
            Drop(where="level == 'debug'", **limits),
            AddFields(fields={"team": "x"}, where="exists(n)", **limits),
            Declared(**limits),
        ]
    )


@pytest.fixture(scope="module")
def chains() -> Iterator[tuple[Chain, Chain]]:
    both = chain_of(isolated=True), chain_of(isolated=False)
    yield both
    for chain in both:
        chain.teardown()


JSON_LINES = st.lists(
    st.sampled_from(
        [
            '{"n":1,"level":"info"}',
            '{"n":2,"level":"debug"}',
            ' {"double":0, "n":3 , "deep":{"n":4}}',
            '{"n":12345678901234567890123}',
            '{"n":1e400}',
            '{"\\u006e":5,"team":null}',
            '{"n":1,"n":"x"}',
            "{}",
            "{}{}",
            "no json",
            "[1]",
        ]
    )
)


@settings(max_examples=40)
@given(JSON_LINES)
def test_every_processor_of_a_chain_may_have_its_own_process(chains: tuple[Chain, Chain], lines: list[str]) -> None:
    """Records once decoded, what was dropped by whom, errors: as in one process."""
    isolated, plain = (run_batch(chain, lines) for chain in chains)
    assert (isolated.records, isolated.dropped, isolated.labels) == (plain.records, plain.dropped, plain.labels)
    assert chains[0].take_errors() == chains[1].take_errors()


@pytest.mark.parametrize("where", ["message == 'exit'", "message != 'exit'"])
def test_where_is_judged_before_the_process_is_asked(where: str) -> None:
    chain = start_chain([Obey(where=where, **LIMITS)])
    result = run_batch(chain, ["a", "exit", "b"])
    chain.teardown()
    assert [letter.raw for letter in result.dead_letters] == ([b"exit"] if "==" in where else [])
    assert ["seen" in record for record in result.records] == ([False, False] if "==" in where else [True, False, True])


def test_a_value_that_cannot_leave_the_process_is_an_error_of_its_record(obey: Chain) -> None:
    result = run_batch(obey, ["a", "odd", "b"])
    assert messages(result) == ["a", "b"]
    assert "a value of type object cannot leave its process" in result.dead_letters[0].error


def test_the_state_is_what_it_was_before_the_record_that_did_harm() -> None:
    with isolated(Numbered(**LIMITS)) as (chain, child):
        result = run_batch(chain, ["a", "b", "exit", "c"])
        assert [record["number"] for record in result.records] == [1, 2, 3]
        assert result.batch.state == {"processor/test/numbered": b"3"}
        os.kill(child(), signal.SIGKILL)
        assert [record["number"] for record in run_batch(chain, ["d"]).records] == [4]
    with isolated(Numbered(**LIMITS), {"processor/test/numbered": b"41"}) as (chain, _):
        assert [record["number"] for record in run_batch(chain, ["exit", "e"]).records] == [42]


def test_what_must_not_be_seen_twice_fails_as_a_whole() -> None:
    chain = start_chain([Unrepeatable(**LIMITS)])
    result = run_batch(chain, ["a", "exit", "b"])
    assert {record["processor_error"] for record in result.records} == {f"unrepeatable: {HARM['exit']}"}
    assert messages(run_batch(chain, ["c"])) == ["c"]
    chain.teardown()


def test_a_process_that_ended_between_two_batches_costs_nothing() -> None:
    with isolated(Unrepeatable(**LIMITS)) as (chain, child):
        os.kill(child(), signal.SIGKILL)
        wait_for(lambda: Path(f"/proc/{child()}/stat").read_text().split()[2] == "Z", "its end")
        result = run_batch(chain, ["a", "b"])
    assert result.records == [{"message": "a"}, {"message": "b"}]


def test_nothing_fails_because_somebody_killed_the_process() -> None:
    with isolated(Obey(**LIMITS)) as (chain, child):
        for _ in range(3):
            os.kill(child(), signal.SIGKILL)
            result = run_batch(chain, LINES)
            assert messages(result) == LINES
            assert result.failed == 0


def test_what_a_processor_prints_stays_out_of_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    with isolated(Obey(**LIMITS)) as (chain, _):
        assert messages(run_batch(chain, ["print"])) == ["print"]
    out, errors = capfd.readouterr()
    assert out == ""
    assert "printed by a processor" in errors


def test_signals_for_the_whole_group_do_not_reach_it() -> None:
    with isolated(Obey(**LIMITS)) as (chain, child):
        first = child()
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(first, number)
        assert messages(run_batch(chain, ["a"])) == ["a"]
        assert child() == first
    assert not Path(f"/proc/{first}").exists()


PARENT = """
from support.bad_processors import Obey
from shipper.testing import run_batch, start_chain
chain = start_chain([Obey(isolation="process")])
print("started", flush=True)
run_batch(chain, ["hang"])
"""


def test_it_does_not_outlive_the_agent_even_when_it_hangs() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment(TESTS)) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        (child,) = children(parent.pid)
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")


def test_settings_that_the_processor_refuses_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="processor choosy: nothing is good enough; write something better"):
        start_chain([Choosy(**LIMITS)])


def test_a_class_that_no_other_process_can_import_is_a_config_error() -> None:
    class Local(Processor):
        """It stands in a function."""

        def process(self, record: Record) -> Record:
            return record

    with pytest.raises(ConfigError, match="define its class at the top of a module"):
        start_chain([Local(**LIMITS)])


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"deadline": Duration(0)}, "deadline is 0s, expected at least 100ms"),
        ({"max_memory": ByteSize(1 << 20)}, "max_memory is 1MiB, expected at least 32MiB"),
    ],
)
def test_limits_that_nothing_can_keep_are_refused(setting: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Obey(**{**LIMITS, **setting})


@pytest.mark.parametrize("setting", [{"deadline": Duration(5)}, {"max_memory": ByteSize(1 << 30)}])
def test_limits_without_a_process_to_keep_them_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="write isolation: process"):
        Obey(**setting)
