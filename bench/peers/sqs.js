// The same batches of ten on the same server, through AWS's SDK: so many loops send, then so many receive and delete.
//   sqs.js --queue URL --messages N --loops N
import { SQSClient, SendMessageBatchCommand, ReceiveMessageCommand, DeleteMessageBatchCommand } from "@aws-sdk/client-sqs";
import { parseArgs } from "node:util";

const BATCH = 10;
const { values: o } = parseArgs({ options: { queue: { type: "string" }, messages: { type: "string" }, loops: { type: "string" } } });
const messages = Math.floor(Number(o.messages) / BATCH) * BATCH;
const loops = Number(o.loops);
const QueueUrl = o.queue;
const client = new SQSClient({}); // region, endpoint and keys are those of the environment
const MessageBody = "x".repeat(160);

async function timed(work) {
  const start = performance.now();
  await Promise.all(Array.from({ length: loops }, work));
  return (messages * 1000) / (performance.now() - start);
}

function done(reply) {
  if (reply.Failed?.length) throw new Error(JSON.stringify(reply.Failed));
}

let sent = 0;
async function sendAll() {
  const Entries = Array.from({ length: BATCH }, (_, i) => ({ Id: String(i), MessageBody }));
  while ((sent += BATCH) <= messages) done(await client.send(new SendMessageBatchCommand({ QueueUrl, Entries })));
}

let deleted = 0;
async function workAll() {
  while (deleted < messages) {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: BATCH,
        VisibilityTimeout: 300,
        WaitTimeSeconds: 1,
        MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp"],
        MessageAttributeNames: ["All"],
      }),
    );
    const Entries = Messages.map((m, i) => ({ Id: String(i), ReceiptHandle: m.ReceiptHandle }));
    if (Entries.length) done(await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries })));
    deleted += Entries.length;
  }
}

const report = { sent: await timed(sendAll), processed: await timed(workAll) };
console.log(JSON.stringify(report));
