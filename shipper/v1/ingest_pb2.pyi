from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShipRequest(_message.Message):
    __slots__ = ("hello", "frames", "gap")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    frames: Frames
    gap: Gap
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., frames: _Optional[_Union[Frames, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ...) -> None: ...

class ShipResponse(_message.Message):
    __slots__ = ("welcome", "ack", "refused")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    refused: Refused
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("stream", "epoch", "incarnation", "protocol", "agent_version", "labels", "floor", "floor_check")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    FLOOR_CHECK_FIELD_NUMBER: _ClassVar[int]
    stream: bytes
    epoch: int
    incarnation: bytes
    protocol: int
    agent_version: str
    labels: _containers.ScalarMap[str, str]
    floor: int
    floor_check: int
    def __init__(self, stream: _Optional[bytes] = ..., epoch: _Optional[int] = ..., incarnation: _Optional[bytes] = ..., protocol: _Optional[int] = ..., agent_version: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., floor: _Optional[int] = ..., floor_check: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("next", "last", "window_bytes", "limits", "protocol", "collector_version")
    NEXT_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    next: int
    last: FramePosition
    window_bytes: int
    limits: Limits
    protocol: int
    collector_version: str
    def __init__(self, next: _Optional[int] = ..., last: _Optional[_Union[FramePosition, _Mapping]] = ..., window_bytes: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., protocol: _Optional[int] = ..., collector_version: _Optional[str] = ...) -> None: ...

class FramePosition(_message.Message):
    __slots__ = ("epoch", "number", "check", "original_check")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_CHECK_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    number: int
    check: int
    original_check: int
    def __init__(self, epoch: _Optional[int] = ..., number: _Optional[int] = ..., check: _Optional[int] = ..., original_check: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_frame_bytes", "max_message_bytes")
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_frame_bytes: int
    max_message_bytes: int
    def __init__(self, max_frame_bytes: _Optional[int] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...

class Frames(_message.Message):
    __slots__ = ("first", "frames")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    first: int
    frames: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, first: _Optional[int] = ..., frames: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("first", "last", "records", "reason")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    records: int
    reason: str
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., records: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("next", "window_bytes", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Ack.Reason]
        SHARED: _ClassVar[Ack.Reason]
        SPOOL_FULL: _ClassVar[Ack.Reason]
    REASON_UNSPECIFIED: Ack.Reason
    SHARED: Ack.Reason
    SPOOL_FULL: Ack.Reason
    NEXT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    next: int
    window_bytes: int
    reason: Ack.Reason
    def __init__(self, next: _Optional[int] = ..., window_bytes: _Optional[int] = ..., reason: _Optional[_Union[Ack.Reason, str]] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason", "text")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Refused.Reason]
        PROTOCOL: _ClassVar[Refused.Reason]
        TOO_LARGE: _ClassVar[Refused.Reason]
        DAMAGED: _ClassVar[Refused.Reason]
        UNSUPPORTED: _ClassVar[Refused.Reason]
        UNAUTHENTICATED: _ClassVar[Refused.Reason]
        OVERLOADED: _ClassVar[Refused.Reason]
        STOPPING: _ClassVar[Refused.Reason]
        SPOOL_FAILED: _ClassVar[Refused.Reason]
        DIVERGED: _ClassVar[Refused.Reason]
        CLONED: _ClassVar[Refused.Reason]
        FENCED: _ClassVar[Refused.Reason]
        REPLACED: _ClassVar[Refused.Reason]
    REASON_UNSPECIFIED: Refused.Reason
    PROTOCOL: Refused.Reason
    TOO_LARGE: Refused.Reason
    DAMAGED: Refused.Reason
    UNSUPPORTED: Refused.Reason
    UNAUTHENTICATED: Refused.Reason
    OVERLOADED: Refused.Reason
    STOPPING: Refused.Reason
    SPOOL_FAILED: Refused.Reason
    DIVERGED: Refused.Reason
    CLONED: Refused.Reason
    FENCED: Refused.Reason
    REPLACED: Refused.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    reason: Refused.Reason
    text: str
    def __init__(self, reason: _Optional[_Union[Refused.Reason, str]] = ..., text: _Optional[str] = ...) -> None: ...
