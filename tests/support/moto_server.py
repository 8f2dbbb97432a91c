"""moto with signature checks on from the first request, for one user who may do everything.

    moto_server.py DIRECTORY   serves on a free port of 127.0.0.1; writes DIRECTORY/env once it accepts connections
    moto_server.py             only imports what a server imports, so that Python keeps its bytecode

The user is made in this process, not by moto's own bootstrap of unchecked first requests: nobody can get in
before, and no secret is on a command line.

Where moto 5.1 is not like AWS it is mended here: paths whose encoding it would not sign as they were sent, requests
without a signature (500), keys in notifications (not encoded), system attributes of messages sent in a batch (lost).
Presigned URLs are refused: it cannot check them.
"""
import json
import os
import sys
import urllib.parse

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

import flask
import moto.events.urls
import moto.iam.urls
import moto.kms.urls
import moto.s3.urls
import moto.secretsmanager.urls
import moto.sqs.urls
import moto.sts.urls
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.access_control import IAMRequestBase
from moto.iam.models import iam_backends
from moto.s3 import notifications
from moto.server import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import SQSBackend
from werkzeug.serving import WSGIRequestHandler, make_server

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


class Signed:
    """Refuses what has no signature, as S3 does, before moto looks for one."""

    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        if environ.get("HTTP_AUTHORIZATION", "").startswith("AWS4-HMAC-SHA256 "):
            return self.application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [b"<Error><Code>AccessDenied</Code><Message>no signature in a header</Message></Error>"]


def mend_signed_path():
    make = IAMRequestBase._create_aws_request

    def make_of_raw(self):
        request = make(self)
        request.url = flask.request.environ["RAW_URI"]
        return request

    IAMRequestBase._create_aws_request = make_of_raw


def mend_notified_key():
    make = notifications._get_s3_event

    def make_encoded(*arguments):
        event = make(*arguments)
        for record in event["Records"]:
            thing = record["s3"]["object"]
            thing["key"] = urllib.parse.quote_plus(thing["key"], safe="/")
        return event

    notifications._get_s3_event = make_encoded


def mend_system_attributes():
    send = SQSBackend.send_message_batch

    def send_with_them(self, queue_name, entries):
        messages, failed = send(self, queue_name, entries)
        given = {entry["Id"]: entry.get("MessageSystemAttributes", {}) for entry in entries.values()}
        for message in messages:
            message.system_attributes = {name: {"string_value": value["StringValue"]}
                                         for name, value in given[message.user_id].items()}
        return messages, failed

    SQSBackend.send_message_batch = send_with_them


def make_key():
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    iam.create_user("us-east-1", "aegis")
    iam.put_user_policy("aegis", "all", json.dumps(ALL))
    return iam.create_access_key("aegis")


def write_env(directory, port, key):
    lines = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_REGION": "us-east-1",
    }
    new = os.path.join(directory, "env.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in lines.items())
    os.rename(new, os.path.join(directory, "env"))


def main(directory):
    mend_signed_path()
    mend_notified_key()
    mend_system_attributes()
    server = make_server("127.0.0.1", 0, Signed(DomainDispatcherApplication(create_backend_app)), threaded=True,
                         request_handler=Handler)
    os.environ["MOTO_PORT"] = str(server.port)
    write_env(directory, server.port, make_key())
    server.serve_forever()


if len(sys.argv) > 1:
    main(sys.argv[1])
