"""What the gRPC sink and the gRPC source share. The contract between them is proto/shipper/v1/ingest.proto.

    address.py     addresses as a config has them
    certificates.py  the files of TLS, whichever library speaks it
    channel.py     constants of the protocol, channel and server options, the import of grpc itself
    refusal.py     why a collector ends a connection, and whether trying again helps
    handshake.py   the collector's judgement of a Hello (sans-IO)
    budget.py      the collector's receive budget and the windows that it gives (sans-IO but for one event)
    session.py     the collector's side of one connection, without gRPC
    server.py      reading, writing and ending a call at the collector; strangers on its port
    connection.py  the sender's side of one connection
    window.py      the sender's side of the window, and how frames are put together into messages (sans-IO)

grpc is imported by channel.py and by what imports that: a config without gRPC never loads it.
"""
