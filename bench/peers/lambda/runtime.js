// The Runtime API's client, as AWS's own for Node has it but without its parts in C++: one connection that is kept,
// one invocation at a time.
import { Agent, request } from "node:http";

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body, headers) {
  return new Promise((resolve, reject) => {
    const sent = request({ agent, hostname, port, method, path: `/2018-06-01/runtime/${path}`, headers }, (reply) => {
      const parts = [];
      reply.on("data", (part) => parts.push(part));
      reply.on("end", () => resolve({ headers: reply.headers, body: Buffer.concat(parts) }));
      reply.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function post(path, value, type) {
  const body = Buffer.from(JSON.stringify(value));
  const headers = { "Content-Type": "application/json", "Content-Length": body.length };
  if (type) headers["Lambda-Runtime-Function-Error-Type"] = type;
  return call("POST", path, body, headers);
}

export async function serve(handler) {
  for (;;) {
    const { headers, body } = await call("GET", "invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
    try {
      await post(`invocation/${id}/response`, await handler(JSON.parse(body.toString())));
    } catch (e) {
      await post(`invocation/${id}/error`, { errorMessage: e.message, errorType: e.name, stackTrace: [] }, e.name);
    }
  }
}
