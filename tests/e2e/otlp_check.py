"""What the receiver of tests/support/otlp_server.py took, against what should have been told.

    otlp_check.py traces FILE TRACE_ID...   the spans of each trace make one tree; prints a line for each trace:
                                            its names with kind and status, parents in front of children
    otlp_check.py metrics FILE              prints the names of the newest request, one a line
    otlp_check.py point FILE NAME           prints the newest sum of a metric's points
    otlp_check.py resource FILE             prints the attributes of the newest resource, one a line
    otlp_check.py headers FILE NAME         prints a header of the newest request
"""
import json
import sys


def requests(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def attributes(items):
    return {one["key"]: next(iter(one["value"].values())) for one in items}


def spans(path):
    return [span for request in requests(path) for resource in request["body"]["resourceSpans"]
            for scope in resource["scopeSpans"] for span in scope["spans"]]


def label(span):
    told = attributes(span["attributes"])
    status = span.get("status", {})
    words = [span["name"], {1: "internal", 4: "producer", 5: "consumer"}[span["kind"]]]
    words += [told[name].split("/")[-1] for name in ("aegis.key", "aegis.attempt", "aegis.outcome") if name in told]
    if status:
        words.append(f"error:{status['message']}" if status["code"] == 2 and told["error.type"] == status["message"]
                     else "malformed status")
    return "/".join(words)


def tree(parent, children):
    order = sorted(children.get(parent, []), key=lambda one: int(one["startTimeUnixNano"]))
    for span in order:
        yield label(span)
        yield from tree(span["spanId"], children)


def within(child, parent):
    return (int(parent["startTimeUnixNano"]) <= int(child["startTimeUnixNano"])
            and int(child["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"]))


def show(path, trace_id):
    found = [span for span in spans(path) if span["traceId"] == trace_id]
    by_id, children = {span["spanId"]: span for span in found}, {}
    if len(by_id) != len(found):
        sys.exit("a span's id twice")
    for span in found:
        parent = by_id.get(span.get("parentSpanId"))
        children.setdefault(span.get("parentSpanId"), []).append(span)
        if parent and span["kind"] == 1 and not within(span, parent):
            sys.exit(f"{span['name']} is not within {parent['name']}")
    line = list(tree(None, children))
    if len(line) != len(found):
        sys.exit(f"{len(found) - len(line)} spans have no parent")
    print(" ".join(line))


def metrics(path):
    return [metric for resource in requests(path)[-1]["body"]["resourceMetrics"]
            for scope in resource["scopeMetrics"] for metric in scope["metrics"]]


def points(metric):
    return next(value for value in metric.values() if isinstance(value, dict))["dataPoints"]


def main(what, path, *names):
    if what == "traces":
        for name in names:
            show(path, name)
    elif what == "metrics":
        print("\n".join(sorted(metric["name"] for metric in metrics(path))))
    elif what == "point":
        print(sum(point.get("asDouble", 0) for metric in metrics(path) if metric["name"] == names[0]
                  for point in points(metric)))
    elif what == "resource":
        body = requests(path)[-1]["body"]
        resource = (body.get("resourceSpans") or body["resourceMetrics"])[0]["resource"]
        print("\n".join(f"{name}={value}" for name, value in sorted(attributes(resource["attributes"]).items())))
    else:
        print(requests(path)[-1]["headers"].get(names[0], "none"))


main(*sys.argv[1:])
