"""Generated from proto/shipper/v1: do not edit, but for this file."""

from shipper import lean

with lean.postponed("google.protobuf.internal.python_message"):  # 1 MiB for where there is no protobuf in C
    from shipper.v1 import ingest_pb2 as ingest_pb2
