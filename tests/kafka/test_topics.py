"""Names of topics from labels."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.kafka.topics import NoTopic, TopicTemplate, safe_name


@pytest.mark.parametrize(
    ("template", "labels", "topic"),
    [
        ("logs", {}, "logs"),
        ("logs-{source}", {"source": "app"}, "logs-app"),
        ("{env}.{source}", {"env": "prod", "source": "web_1"}, "prod.web_1"),
        ("logs-{source}", {"source": "a/b c"}, "logs-a_2Fb_20c"),
        ("logs-{source}", {"source": "a_2Fb"}, "logs-a_5F2Fb"),
        ("logs-{source}", {"source": "é"}, "logs-_C3_A9"),
        ("logs-{source}", {"source": ""}, "logs-_5Fempty"),
        ("t{n}{on}", {"n": 7, "on": True}, "t7true"),
    ],
)
def test_labels_give_a_topic(template: str, labels: dict[str, Any], topic: str) -> None:
    assert TopicTemplate(template).render(labels) == topic


@given(st.text(max_size=150), st.text(max_size=150))
def test_different_values_give_different_topics_that_kafka_takes(one: str, other: str) -> None:
    names = safe_name(one), safe_name(other)
    assert (names[0] == names[1]) == (one == other)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,120}", name) for name in names)


@given(st.from_regex(r"[A-F0-9_./-]{0,8}", fullmatch=True), st.from_regex(r"[A-F0-9_./-]{0,8}", fullmatch=True))
def test_values_that_look_escaped_are_told_apart(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("template", "labels", "reason"),
    [
        ("logs-{source}", {}, "the frame has no label 'source', which the topic needs"),
        ("logs-{source}", {"source": ["a"]}, "the label 'source' is no scalar"),
        ("{source}", {"source": ".."}, "Kafka takes no topic named '..'"),
        ("__{source}", {"source": "transaction.state"}, "Kafka keeps __transaction_state for itself"),
        ("{a}{b}{c}", {"a": "x" * 100, "b": "x" * 100, "c": "x" * 100}, "has 300 characters; Kafka takes 249"),
    ],
)
def test_labels_that_give_none_say_why(template: str, labels: dict[str, Any], reason: str) -> None:
    with pytest.raises(NoTopic) as raised:
        TopicTemplate(template).render(labels)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "Kafka takes no topic named ''"),
        ("logs {source}", "Kafka takes no ' ' in a name"),
        ("logs/{source}", "Kafka takes no '/' in a name"),
        ("logs-{source:x}", "in braces stands the name of a label and nothing else"),
        ("logs-{}", "in braces stands the name of a label and nothing else"),
        ("logs-{source", "a label stands in braces"),
        ("x" * 250, "has 250 characters"),
        ("__cluster_metadata", "topic: the topic __cluster_metadata takes no records"),
    ],
)
def test_a_template_that_is_none_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        TopicTemplate(template)
