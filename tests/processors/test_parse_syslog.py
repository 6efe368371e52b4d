"""parse_syslog. What the parser makes of messages is in tests/syslog; here is how the processor uses it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.parse_syslog import ParseSyslog

OLD = "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed"
NEW = '<165>1 2003-10-11T22:14:15.003Z host app - ID47 [e@1 a="b"] text'


def at(moment: str) -> type[ParseSyslog]:
    """The processor at another time."""
    seconds = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    return type("ParseSyslog", (ParseSyslog,), {"clock": staticmethod(lambda: seconds), "__doc__": ParseSyslog.__doc__})


class TestConformance(ProcessorConformance):
    """On raw lines."""

    lines = (OLD, NEW, "Oct 11 22:14:15 h cron[1]: no priority", "neither", b"<13>caf\xe9", "<999>x", "")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseSyslog(timezone="Europe/Berlin")


class TestConformanceOfAnotherField(ProcessorConformance):
    """On a field of records."""

    lines = ({"log": OLD, "message": "goes", "a": 1}, {"log": NEW}, {"log": "neither"}, {"log": 5}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseSyslog(field="log", timezone="UTC")


def test_the_parts_of_a_message_take_the_place_of_the_line(run_chain: RunChain) -> None:
    records = run_chain(at("2026-10-12")(timezone="UTC"), [OLD, NEW]).records
    assert records == [
        {
            "message": "'su root' failed",
            "timestamp": "2026-10-11T22:14:15Z",
            "hostname": "mymachine",
            "app_name": "su",
            "proc_id": "12",
            "facility": "auth",
            "severity": "crit",
        },
        {
            "message": "text",
            "timestamp": "2003-10-11T22:14:15.003Z",
            "hostname": "host",
            "app_name": "app",
            "msg_id": "ID47",
            "structured_data": {"e@1": {"a": "b"}},
            "facility": "local4",
            "severity": "notice",
        },
    ]


def test_a_line_that_is_neither_goes_on_with_the_reason(run_chain: RunChain) -> None:
    reason = "parse_syslog: neither RFC 5424 nor RFC 3164: it has no priority and no timestamp"
    assert run_chain(ParseSyslog(), ["what?"]).records == [{"message": "what?", "parse_error": reason}]


def test_other_fields_stay_and_the_message_wins_over_them(run_chain: RunChain) -> None:
    record = {"log": "<13>hello", "message": "old", "severity": "unknown", "pod": "p"}
    assert run_chain(ParseSyslog(field="log"), [record]).records == [
        {"pod": "p", "message": "hello", "facility": "user", "severity": "notice"}
    ]


@pytest.mark.parametrize(
    ("now", "stamp", "expected"),
    [
        ("2027-01-01T00:00:05", "Dec 31 23:59:58", "2026-12-31T23:59:58Z"),
        ("2026-12-31T23:59:58", "Jan  1 00:00:01", "2027-01-01T00:00:01Z"),
        ("2028-03-01T00:00:00", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("2027-03-01T00:00:00", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
    ],
)
def test_the_year_is_the_one_nearest_to_now(run_chain: RunChain, now: str, stamp: str, expected: str) -> None:
    (record,) = run_chain(at(now)(timezone="UTC"), [f"<13>{stamp} h a: m"]).records
    assert record["timestamp"] == expected


def test_the_zone_is_the_one_of_the_setting(run_chain: RunChain) -> None:
    (record,) = run_chain(at("2026-07-01")(timezone="Europe/Berlin"), ["<13>Jul  1 12:00:00 h a: m"]).records
    assert record["timestamp"] == "2026-07-01T12:00:00+02:00"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "\0"])
def test_a_zone_that_is_none_is_a_config_error(name: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        ParseSyslog(timezone=name).setup()


FACTS: list[tuple[str, dict[str, Any], str]] = [
    # parsertest-parse1.sh
    ("<167>Mar  6 16:57:54 172.20.245.8 %PIX-7-710005: UDP request discarded",
     {"hostname": "172.20.245.8", "msg_id": "PIX-7-710005"}, "UDP request discarded"),
    ("<167>Mar 27 19:06:53 source_server sshd(pam_unix)[12750]: session opened for user foo by (uid=0)",
     {"hostname": "source_server", "app_name": "sshd(pam_unix)", "proc_id": "12750"},
     "session opened for user foo by (uid=0)"),
    ("<167>Apr  6 15:07:10 lxcvs07 sshd(pam_unix)[31738]: session closed for user cvsadmin",
     {"hostname": "lxcvs07", "app_name": "sshd(pam_unix)", "proc_id": "31738"}, "session closed for user cvsadmin"),
    ("<167>Jul 31 21:39:21 example-b example-gw[10538]: disconnect host=/192.0.2.1 in=3274 out=1448 duration=0",
     {"hostname": "example-b", "app_name": "example-gw", "proc_id": "10538"},
     "disconnect host=/192.0.2.1 in=3274 out=1448 duration=0"),
    ("<167> Mar  7 19:06:53 example tag: testmessage (only date actually tested)",
     {"hostname": "example", "app_name": "tag"}, "testmessage (only date actually tested)"),
    ("<167>Mar 7 2008 19:06:53: example tag: testmessage (only date actually tested)",
     {"hostname": "example", "app_name": "tag", "timestamp": "2008-03-07T19:06:53Z"},
     "testmessage (only date actually tested)"),
    ("<167>Mar 7 2008 19:06:53 example tag: testmessage (only date actually tested)",
     {"hostname": "example", "app_name": "tag"}, "testmessage (only date actually tested)"),
    ("<167>Mar 7 19:06:53: example tag: testmessage (only date actually tested)",
     {"hostname": "example", "app_name": "tag"}, "testmessage (only date actually tested)"),
    ("<38>Mar 27 19:06:53 source_server 0123456789012345678901234567890123456789: MSG part",
     {"hostname": "source_server", "app_name": "0123456789012345678901234567890123456789"}, "MSG part"),
    ("<29>Oct 16 20:47:24 example-p exam-pl[12345]: connect host= /192.0.2.1",
     {"hostname": "example-p", "app_name": "exam-pl", "proc_id": "12345"}, "connect host= /192.0.2.1"),
    ("<34>Oct 11 22:14:15 mymachine su: su root failed for lonvick on /dev/pts/8",
     {"hostname": "mymachine", "app_name": "su"}, "su root failed for lonvick on /dev/pts/8"),
    ("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - BOMsu root failed",
     {"hostname": "mymachine.example.com", "app_name": "su", "msg_id": "ID47"}, "BOMsu root failed"),
    ("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% Its time to make the do-nuts.",
     {"hostname": "192.0.2.1", "app_name": "myproc", "proc_id": "8710"}, "%% Its time to make the do-nuts."),
    ("<14>Aug 30 23:00:05 ", {}, ""),
    ("<14>Aug 30 23:00:05", {}, ""),
    # parsertest-parse3.sh, parsertest-parse-3164-buggyday.sh
    ("<175>Oct 16 2009 23:47:31 hostname tag[1234] This is a message",
     {"hostname": "hostname", "app_name": "tag", "proc_id": "1234", "timestamp": "2009-10-16T23:47:31Z"},
     "This is a message"),
    ("<38> Mar 17 19:06:53 example tag: testmessage", {"hostname": "example", "app_name": "tag"}, "testmessage"),
    # pmrfc3164-AtSignsInHostname.sh, -msgFirstSpace.sh, -tagEndingByColon.sh, -defaultTag.sh, -headerless.sh
    # hostname-with-slash-*.sh
    ("<129>Mar 10 01:00:00 Hostname1 tag: msgnum:1", {"hostname": "Hostname1", "app_name": "tag"}, "msgnum:1"),
    ("<129>Mar 10 01:00:00 Hostn@me2 tag:  msgnum:2", {"hostname": "Hostn@me2", "app_name": "tag"}, " msgnum:2"),
    ("<129>Mar 10 01:00:00 172.20.245.8 tag: msgnum:1", {"hostname": "172.20.245.8", "app_name": "tag"}, "msgnum:1"),
    ("<129>Mar 10 01:00:00 172.20.245.8 tag4:", {"hostname": "172.20.245.8", "app_name": "tag4"}, ""),
    ("<129>Mar 10 01:00:00 Hostname2 tag2:  msgnum:2", {"hostname": "Hostname2", "app_name": "tag2"}, " msgnum:2"),
    ("<129>Mar 10 01:00:00 Hostname3 tag msgnum:3", {"hostname": "Hostname3"}, "tag msgnum:3"),
    ("<13>Oct 11 22:14:15 host tag: normal", {"hostname": "host", "app_name": "tag"}, "normal"),
    ("<167>Mar  6 16:57:54 hostname1/hostname2 test: msgnum:0",
     {"hostname": "hostname1/hostname2", "app_name": "test"}, "msgnum:0"),
    ('<167>1 2003-03-01T01:00:00.000Z hostname1/hostname2 tcpflood - tag [tcpflood@32473 MSGNUM="0"] data',
     {"hostname": "hostname1/hostname2", "app_name": "tcpflood", "msg_id": "tag",
      "structured_data": {"tcpflood@32473": {"MSGNUM": "0"}}}, "data"),
    # rfc5424parser-sp_at_msg_start.sh
    ("<13>1 2019-05-15T11:21:57+03:00 domain.tld tag - - - nosd-nosp",
     {"hostname": "domain.tld", "app_name": "tag", "timestamp": "2019-05-15T11:21:57+03:00"}, "nosd-nosp"),
    ('<13>1 2019-05-15T11:21:57+03:00 domain.tld tag - - [abc@123 a="b"] sd-nosp',
     {"hostname": "domain.tld", "app_name": "tag", "structured_data": {"abc@123": {"a": "b"}}}, "sd-nosp"),
    ("<13>1 2019-05-15T11:21:57+03:00 domain.tld tag - - -  nosd-sp",
     {"hostname": "domain.tld", "app_name": "tag"}, " nosd-sp"),
    ('<13>1 2019-05-15T11:21:57+03:00 domain.tld tag - - [abc@123 a="b"]  sd-sp',
     {"hostname": "domain.tld", "app_name": "tag", "structured_data": {"abc@123": {"a": "b"}}}, " sd-sp"),
    # mmpstrucdata-escaping.sh (with sd_name.lowercase="off", as in mmpstrucdata-case.sh), -container-null.sh
    (('<85>1 2019-08-27T13:02:58.000+01:00 A/B-896747 ABC LMBNI SUCCESS [origin software="ABC" swVersion="47.1"]'
     '[ABC@32473 eventType="XYZ:IPIP,9:\\"free -m\\";" remoteIp="192.0.2.1" singleTick="D\'E" bracket="1\\]2"] M'),
     {"hostname": "A/B-896747", "app_name": "ABC", "proc_id": "LMBNI", "msg_id": "SUCCESS",
      "structured_data": {"origin": {"software": "ABC", "swVersion": "47.1"},
                          "ABC@32473": {"eventType": 'XYZ:IPIP,9:"free -m";', "remoteIp": "192.0.2.1",
                                        "singleTick": "D'E", "bracket": "1]2"}}}, "M"),
    ("<85>1 2026-05-22T08:00:00.000+00:00 host app proc msgid - MMPSTRUCDATA without sd",
     {"hostname": "host", "app_name": "app", "proc_id": "proc", "msg_id": "msgid"}, "MMPSTRUCDATA without sd"),
    ('<161>1 2003-03-01T01:00:00.000Z mymachine.example.com tcpflood - tag [tcpflood@32473 eventID="1011"] valid',
     {"hostname": "mymachine.example.com", "app_name": "tcpflood", "msg_id": "tag",
      "structured_data": {"tcpflood@32473": {"eventID": "1011"}}}, "valid"),
    # mmpstrucdata-rfc3164-skip.sh, pmlastmsg.sh
    ("<85>May 22 08:00:00 host app: MMPSTRUCDATA legacy without sd", {"hostname": "host", "app_name": "app"},
     "MMPSTRUCDATA legacy without sd"),
    ("<13>last message repeated 5 times", {}, "last message repeated 5 times"),
    ("<167>Mar  6 16:57:54 172.20.245.8 TAG: Rest of message...", {"hostname": "172.20.245.8", "app_name": "TAG"},
     "Rest of message..."),
]  # fmt: skip
"""Inputs and results of rsyslog's own tests (rsyslog/tests at commit ee72adcd8, as facts): long texts are shortened,
the blank before a message and the percent sign of a tag are taken off."""

OTHERWISE: list[tuple[str, dict[str, Any], str]] = [
    # rsyslog takes the first word for the tag, with or without a colon; RFC 3164 ends a tag at what is no letter or
    # digit, but then every text would lose its first word
    ("<167>AUG 10 22:18:24 host tag This msg", {"hostname": "host"}, "tag This msg"),
    ("<175>Oct 16 2009 23:47:31 hostname tag This is a message", {"hostname": "hostname"}, "tag This is a message"),
    ("<167>Feb 18 16:01:59 serverX -- MARK --", {"hostname": "serverX"}, "-- MARK --"),
    ('<167>Oct  8 23:05:06 10.321.1.123 05",result_code=200,b', {"hostname": "10.321.1.123"}, '05",result_code=200,b'),
    ("<14>Aug 30 23:00:05 X4711 AAAAAAAAAA", {"hostname": "X4711"}, "AAAAAAAAAA"),
    ("<14>2010-08-30T23:00:05Z X4711 AAAAAAAAAA", {"hostname": "X4711"}, "AAAAAAAAAA"),
    ("<175>Oct 16 23:47:31 #001 MSWinEventLog 0", {}, "#001 MSWinEventLog 0"),
    ("<167>Mar  6 16:57:54 172.20.245.8 TAG long message", {"hostname": "172.20.245.8"}, "TAG long message"),
    # the only word: a message here, the hostname there
    ("<14>Jan  6 2009 15:22:26 localhost", {}, "localhost"),
    ("<14>Aug 30 23:00:05 X4711", {}, "X4711"),
    ("<14>Aug 30 23:00:05 X4711 ", {}, "X4711 "),
    ("<14>2010-08-30T23:00:05Z X4711", {}, "X4711"),
    ("<14>2010-08-30T23:00:05Z X4711 ", {}, "X4711 "),
    # a colon without a blank behind it ends rsyslog's tag; here times and addresses stay whole
    ("<129>Mar 10 01:00:00 Hostname3 tag:msgnum:3", {"hostname": "Hostname3"}, "tag:msgnum:3"),
    ("<129>Mar 10 01:00:00 Hostname5 tag5:msgnum:5", {"hostname": "Hostname5"}, "tag5:msgnum:5"),
    # the year behind the time is rsyslog's hostname
    ("<6>AUG 10 22:18:24 2009  netips-warden2-p [audit] user=[*SMS]", {"hostname": "2009"},
     "netips-warden2-p [audit] user=[*SMS]"),
    # without a timestamp rsyslog still looks for a tag, and without a priority for a hostname
    ("<27>xapi: [error|xen3] Connection to master died.", {}, "xapi: [error|xen3] Connection to master died."),
]  # fmt: skip
"""Those that come out in another way here, and why."""

REFUSED = [
    # parsertest-parse1.sh: rsyslog takes a blank behind the equals sign, which RFC 5424 does not have
    '<165>1 2003-10-11T22:14:15.003Z m evntslog - ID47 [exampleSDID@32473 iut="3" eventSource= "Application"]',
    # parsertest-parse-nodate.sh, pmrfc3164-headerless.sh: rsyslog makes user.notice of whatever has no header
    "This is a message!",
    "this is not syslog",
    # mmpstrucdata-invalid-vg.sh asks only that rsyslog lives
    "<161>1 2003-03-01T01:00:00.000Z m tcpflood - tag [tcpflood@32473 MSGNUM] invalid structured data!",
    "<161>1 2003-03-01T01:00:00.000Z m tcpflood - tag [tcpflood@32473 MSGNUM ] invalid structured data!",
    "<161>1 2003-03-01T01:00:00.000Z m tcpflood - tag [tcpflood@32473 MSGNUM= ] invalid structured data!",
    "<161>1 2003-03-01T01:00:00.000Z m tcpflood - tag [tcpflood@32473 = ] invalid structured data!",
    "<161>1 2003-03-01T01:00:00.000Z m tcpflood - tag [tcpflood@32473 MSGNUM",
    '<161>1 2003-03-01T01:00:00.000Z m tcpflood - tag [tcpflood@32473 MSGNUM="unterminated',
    # fac_invld4_rfc5424.sh: a priority of 31 digits has a facility "invld" there
    '<8000000000000000000000000000000>1 2003-03-01T01:00:00.000Z m tcpflood - tag [t@1 MSGNUM="0"] data',
]


@pytest.mark.parametrize(("line", "expected", "message"), [*FACTS, *OTHERWISE])
def test_what_rsyslog_tests(run_chain: RunChain, line: str, expected: dict[str, Any], message: str) -> None:
    (record,) = run_chain(at("2026-06-01")(timezone="UTC"), [line]).records
    assert record.pop("message") == message
    assert "timestamp" not in expected or record["timestamp"] == expected["timestamp"]
    for name in ("facility", "severity", "timestamp"):
        record.pop(name, None)
    assert record == {name: value for name, value in expected.items() if name != "timestamp"}


@pytest.mark.parametrize("line", REFUSED)
def test_what_rsyslog_takes_and_the_rfcs_do_not(run_chain: RunChain, line: str) -> None:
    (record,) = run_chain(ParseSyslog(), [line]).records
    assert record.pop("parse_error").startswith("parse_syslog: ")
    assert record == {"message": line}


pieces = st.sampled_from(
    ["<34>", "<34>1 ", "Oct 11 22:14:15", "2003-10-11T22:14:15Z", " ", "-", '[a b="c"]', ": ", "x"]
)


@given(st.lists(pieces | st.text(max_size=3), max_size=8).map("".join))
def test_any_line_is_a_message_or_stays_whole(line: str) -> None:
    line = line.replace("\n", "")
    (record,) = run_batch(start_chain([ParseSyslog()]), [line]).records
    assert isinstance(record["message"], str)
    assert record["message"] == line or "severity" in record or "timestamp" in record
