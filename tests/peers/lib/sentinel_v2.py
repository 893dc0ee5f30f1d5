"""A small client of the Sentinel agent protocol, version 2, over a Unix socket.

Written from the protocol alone, sharing nothing with the agent: frames are
`u32 length | u8 type | payload`, the handshake is JSON, and an answer belongs
to the event whose id stands in `audit.custom.correlation_id`.
"""

import itertools
import json
import socket
import struct

HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE = 0x01, 0x02
REQUEST_HEADERS, CONFIGURE, AGENT_RESPONSE = 0x10, 0x17, 0x20
PING, PONG = 0x41, 0x42
# What an agent may send unasked: health, metrics, configuration, flow control.
UNASKED = {0x30, 0x31, 0x32, 0x33, PONG}
MAX_FRAME = 16 * 1024 * 1024


class ProtocolError(Exception):
    """The agent said something that the protocol does not allow here."""


class Reply:
    """One AgentResponse, as a proxy would carry it out."""

    def __init__(self, body):
        self.body = body
        decision = body["decision"]
        self.allowed = decision == "allow"
        block = decision.get("block") if isinstance(decision, dict) else None
        if not self.allowed and block is None:
            raise ProtocolError(f"neither allow nor block: {decision!r}")
        self.status = 200 if self.allowed else block["status"]
        self.audit = body.get("audit") or {}

    def upstream(self, headers):
        """The headers that reach the upstream, once the answer's operations ran in order."""
        result = {name.lower(): list(values) for name, values in headers.items()}
        for operation in self.body.get("request_headers") or []:
            (kind, argument), = operation.items()
            name = argument["name"].lower()
            if kind == "remove":
                result.pop(name, None)
            elif kind == "set":
                result[name] = [argument["value"]]
            elif kind == "add":
                result.setdefault(name, []).append(argument["value"])
            else:
                raise ProtocolError(f"unknown header operation {kind!r}")
        return result

    def __repr__(self):
        return f"Reply({self.status}, {json.dumps(self.audit)})"


class Client:
    """One connection, one request at a time."""

    def __init__(self, path, config=None, timeout_s=10.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.ids = itertools.count(1)
        try:
            self.socket.connect(str(path))
            self.capabilities = self._handshake(config)
            if config is not None:
                self.configure(config)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def ask(self, headers, method="GET", uri="/orders?id=7", traceparent=None, request_id=None):
        """Sends RequestHeaders and returns the Reply. `headers`: name to list of values."""
        return self._reply(self.send(headers, method, uri, traceparent, request_id))

    def send(self, headers, method="GET", uri="/orders?id=7", traceparent=None, request_id=None, correlation_id=None):
        """Sends RequestHeaders and does not wait; returns the correlation id."""
        correlation_id = correlation_id or f"peer-{next(self.ids)}"
        metadata = {
            "correlation_id": correlation_id, "request_id": request_id or correlation_id,
            "client_ip": "127.0.0.1", "client_port": 40000, "server_name": None,
            "protocol": "HTTP/1.1", "tls_version": None, "tls_cipher": None,
            "route_id": "api", "upstream_id": None, "timestamp": "2026-01-02T03:04:05Z",
        }
        if traceparent is not None:
            metadata["traceparent"] = traceparent
        self._send(REQUEST_HEADERS, {
            "metadata": metadata, "method": method, "uri": uri,
            "headers": headers, "correlation_id": correlation_id,
        })
        return correlation_id

    def configure(self, config):
        """Pushes a configuration as Zentinel does; anything but allow is an error."""
        correlation_id = f"peer-configure-{next(self.ids)}"
        self._send(CONFIGURE, {"config": config, "config_version": None, "correlation_id": correlation_id})
        reply = self._reply(correlation_id)
        if not reply.allowed:
            raise ProtocolError(f"configuration refused: {reply.body['decision']!r}")

    def ping(self, sequence=1):
        self._send(PING, {"sequence": sequence, "timestamp_ms": 0})
        kind, body = self._receive()
        if kind != PONG or body["sequence"] != sequence:
            raise ProtocolError(f"no pong: {kind:#x} {body!r}")

    def _handshake(self, config):
        self._send(HANDSHAKE_REQUEST, {
            "supported_versions": [2], "proxy_id": "peers", "proxy_version": "1",
            "config": config, "supported_encodings": ["json"],
        })
        kind, body = self._receive()
        if kind != HANDSHAKE_RESPONSE:
            raise ProtocolError(f"frame {kind:#x} instead of a handshake")
        if not body["success"]:
            raise ProtocolError(f"handshake refused: {body.get('error')}")
        if body["protocol_version"] != 2 or body.get("encoding", "json") != "json":
            raise ProtocolError(f"unexpected handshake: {body!r}")
        return body["capabilities"]

    def _reply(self, correlation_id):
        while True:
            kind, body = self._receive()
            if kind in UNASKED:
                continue
            if kind != AGENT_RESPONSE:
                raise ProtocolError(f"frame {kind:#x} instead of an answer")
            answered = body.get("audit", {}).get("custom", {}).get("correlation_id")
            if answered != correlation_id:
                raise ProtocolError(f"answer to {answered!r}, asked {correlation_id!r}")
            return Reply(body)

    def _send(self, kind, body):
        payload = json.dumps(body).encode()
        self.socket.sendall(struct.pack(">IB", len(payload) + 1, kind) + payload)

    def _receive(self):
        length, = struct.unpack(">I", self._exactly(4))
        if not 1 <= length <= MAX_FRAME:
            raise ProtocolError(f"frame of {length} bytes")
        frame = self._exactly(length)
        return frame[0], json.loads(frame[1:])

    def _exactly(self, count):
        parts = []
        while count:
            part = self.socket.recv(min(count, 1 << 16))
            if not part:
                raise ConnectionError("the agent closed the connection")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
