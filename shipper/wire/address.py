"""Addresses as a config has them. Sans-IO."""


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``1.2.3.4:7420`` or ``[::1]:7420``.

    :raises ValueError: the text is none of these.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or "/" in bare or (":" in bare and bare == host):
        raise ValueError(f"{text!r} is not an address; write host:port, as in collector:7420 or [::1]:7420")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{text!r} has no port from 0 to 65535; write host:port, as in collector:7420")
    return bare, int(port)


def claimed(text: str) -> list[str]:
    """What a process that listens there has alone, in words; nothing for port 0, which is another one each time.

    :raises ValueError: the text is no address.
    """
    return [f"the address {text}"] if split_address(text)[1] else []
