"""A receiver of OTLP/HTTP in JSON that takes nothing but what OpenTelemetry's own definitions have.

    otlp_server.py DIRECTORY   serves on a free port of 127.0.0.1; writes DIRECTORY/url once it accepts connections,
                               and each request that it took as a line of DIRECTORY/traces or DIRECTORY/metrics
    otlp_server.py             only imports, so that Python keeps its bytecode

The messages are opentelemetry-proto's (Debian's python3-opentelemetry-proto), read by protobuf's own JSON reader:
names, types and enums that are not theirs are refused. Before that ids are turned from hex, as OTLP has them, into
base64, as protobuf has bytes. What the definitions say in words is checked as well (below). A request that is not
as it should be is answered with 400 and is a line of DIRECTORY/refused.
"""
import base64
import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (ExportMetricsServiceRequest,
                                                                          ExportMetricsServiceResponse)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (ExportTraceServiceRequest,
                                                                      ExportTraceServiceResponse)

KINDS = {
    "/v1/traces": ("traces", ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": ("metrics", ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}
IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


def expect(holds, what):
    if not holds:
        raise ValueError(what)


def with_base64_ids(value):
    """OTLP/JSON: "traceId and spanId are case-insensitive hex-encoded strings, not base64"; enums are numbers."""
    if isinstance(value, list):
        return [with_base64_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    for name, digits in IDS.items():
        if name in value:
            expect(re.fullmatch("[0-9a-f]{%d}" % digits, value[name]), f"{name} {value[name]!r}")
            expect(value[name].strip("0"), f"{name} of zeros")
    for name in ("kind", "code", "aggregationTemporality"):
        expect(not isinstance(value.get(name), str), f"{name} is not a number")
    return {name: base64.b64encode(bytes.fromhex(one)).decode() if name in IDS else with_base64_ids(one)
            for name, one in value.items()}


def check_attributes(attributes):
    names = [one.key for one in attributes]
    expect(all(names) and len(names) == len(set(names)), f"attributes {names}")
    expect(all(one.value.WhichOneof("value") for one in attributes), "an attribute without a value")


def check_span(span):
    expect(span.name and span.kind, "a span without name or kind")
    expect(0 < span.start_time_unix_nano <= span.end_time_unix_nano, f"times of {span.name}")
    check_attributes(span.attributes)


def check_point(point, cumulative):
    check_attributes(point.attributes)
    expect(point.time_unix_nano > 0, "a point without a time")
    expect(not cumulative or 0 < point.start_time_unix_nano <= point.time_unix_nano, "a point without a start")


def check_histogram(point):
    expect(len(point.bucket_counts) == len(point.explicit_bounds) + 1, "buckets")
    expect(list(point.explicit_bounds) == sorted(set(point.explicit_bounds)), "bounds do not rise")
    expect(sum(point.bucket_counts) == point.count, "count")


def check_metric(metric):
    kind = metric.WhichOneof("data")
    expect(metric.name and kind, f"metric {metric.name!r}")
    data = getattr(metric, kind)
    expect(data.data_points, f"{metric.name} without points")
    expect(kind == "gauge" or data.aggregation_temporality == 2, f"{metric.name}: temporality")
    for point in data.data_points:
        check_point(point, kind != "gauge")
        if kind == "histogram":
            check_histogram(point)
        else:
            expect(point.WhichOneof("value"), f"{metric.name}: a point without a value")


def check(name, message):
    for resource in message.resource_spans if name == "traces" else message.resource_metrics:
        check_attributes(resource.resource.attributes)
        expect(any(one.key == "service.name" for one in resource.resource.attributes), "no service.name")
        for scope in resource.scope_spans if name == "traces" else resource.scope_metrics:
            for one in scope.spans if name == "traces" else scope.metrics:
                (check_span if name == "traces" else check_metric)(one)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def keep(self, name, line):
        with open(os.path.join(self.server.directory, name), "a") as file:
            file.write(line.replace("\n", " ") + "\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            expect(self.headers["Content-Type"] == "application/json", "the content's type")
            expect(self.path in KINDS, self.path)
            name, request, response = KINDS[self.path]
            document = json.loads(body)
            check(name, json_format.ParseDict(with_base64_ids(document), request()))
        except Exception as why:  # whatever it is, the request was wrong
            self.keep("refused", f"{why!r}: {body.decode(errors='replace')[:4000]}")
            self.answer(400, json.dumps({"message": str(why)}))
            return
        self.keep(name, json.dumps({"headers": dict(self.headers), "body": document}))
        self.answer(200, json_format.MessageToJson(response()))

    def log_message(self, *arguments):
        pass


def main(directory):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.directory = directory
    new = os.path.join(directory, "url.new")
    with open(new, "w") as file:
        file.write(f"http://127.0.0.1:{server.server_port}\n")
    os.rename(new, os.path.join(directory, "url"))
    server.serve_forever()


if len(sys.argv) > 1:
    main(sys.argv[1])
