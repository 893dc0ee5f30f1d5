"""A real OTLP receiver: gRPC and HTTP, by the published messages and services of OpenTelemetry.

It keeps what it takes, or behaves as collectors do in bad hours: `refuse` (an error at once),
`slow` (an answer after two seconds), `hang` (a connection, and never an answer).

    receiver.py MOOD      one in a process of its own: prints its gRPC port, and ends with its standard input
"""

import concurrent.futures
import http.server
import ssl
import sys
import threading
import time

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc

SIGNALS = {
    "/v1/traces": ("traces", traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "/v1/metrics": ("metrics", metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
    "/v1/logs": ("logs", logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
}


class Receiver:
    """Both doors, one store; behind TLS with a certificate and its key, PEM files."""

    def __init__(self, mood="take", tls=None):
        self.mood, self.taken = mood, []
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads, self.http.receiver = True, self
        self.grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        traces_grpc.add_TraceServiceServicer_to_server(self.service("/v1/traces"), self.grpc)
        metrics_grpc.add_MetricsServiceServicer_to_server(self.service("/v1/metrics"), self.grpc)
        logs_grpc.add_LogsServiceServicer_to_server(self.service("/v1/logs"), self.grpc)
        self.scheme = "https" if tls else "http"
        self.grpc_port = self.listen(tls)

    def listen(self, tls):
        """The gRPC port; with a certificate both doors have TLS."""
        if tls is None:
            return self.grpc.add_insecure_port("127.0.0.1:0")
        certificate, key = tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        pair = (key.read_bytes(), certificate.read_bytes())
        return self.grpc.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.grpc.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.http.shutdown()
        self.grpc.stop(None)

    def environment(self, protocol):
        """What points an agent here."""
        port = self.grpc_port if protocol == "grpc" else self.http.server_port
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{self.scheme}://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-token=s%20cret",
            "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=peers",
        }

    def take(self, signal, request, token):
        """False if the mood is not to answer well."""
        if self.mood == "hang":
            self.ended.wait(120)
        if self.mood == "slow":
            time.sleep(2)
        if self.mood in ("hang", "refuse"):
            return False
        with self.lock:
            self.taken.append((signal, request, token))
        return True

    def service(self, path):
        """A servicer: each service has the one method."""
        signal, _, answer = SIGNALS[path]

        class Servicer:
            """Takes what comes."""

            def Export(self_, request, context):  # pylint: disable=invalid-name,no-self-argument
                token = dict(context.invocation_metadata()).get("x-token")
                if not self.take(signal, request, token):
                    context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
                return answer()

        return Servicer()

    def forget(self):
        with self.lock:
            self.taken.clear()

    def all(self, signal):
        with self.lock:
            return [request for kind, request, _ in self.taken if kind == signal]

    def tokens(self):
        with self.lock:
            return {token for _, _, token in self.taken}

    def spans(self, name=None):
        """(resource, span) of every span with this name."""
        return [(attributes(resource.resource), span)
                for request in self.all("traces") for resource in request.resource_spans
                for scope in resource.scope_spans for span in scope.spans if name in (None, span.name)]

    def records(self):
        return [record for request in self.all("logs") for resource in request.resource_logs
                for scope in resource.scope_logs for record in scope.log_records]

    def audit(self):
        """Records that are decision records."""
        return [record for record in self.records() if record.event_name == "spiffe.audit.decision"]

    def latest(self, metric):
        """The points of a metric in the latest message that has it."""
        for request in reversed(self.all("metrics")):
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for found in scope.metrics:
                        if found.name == metric:
                            return list(getattr(found, found.WhichOneof("data")).data_points)
        return []


class Handler(http.server.BaseHTTPRequestHandler):
    """OTLP over HTTP, protobuf."""

    def do_POST(self):  # pylint: disable=invalid-name
        signal, message, answer = SIGNALS[self.path]
        body = self.rfile.read(int(self.headers["content-length"]))
        good = self.headers["content-type"] == "application/x-protobuf"
        request = message.FromString(body)
        if good and self.server.receiver.take(signal, request, self.headers["x-token"]):
            self.reply(200, answer().SerializeToString())
        else:
            self.reply(503, b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Says nothing."""


def attributes(of):
    """Attributes as a dictionary."""
    return {pair.key: value(pair.value) for pair in of.attributes}


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


if __name__ == "__main__":
    with Receiver(sys.argv[1]) as alone:
        print(alone.grpc_port, flush=True)
        sys.stdin.read()
