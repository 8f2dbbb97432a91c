// The official OpenAI client accepts the fake server: FAKE_URL and FAKE_KEY say where it is.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';

import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const root = process.env.FAKE_URL;
const options = { baseURL: `${root}/v1`, apiKey: process.env.FAKE_KEY, maxRetries: 0 };
const client = new OpenAI(options);

async function control(settings) {
  const reply = await fetch(`${root}/__control`, { method: 'POST', body: JSON.stringify(settings) });
  assert.equal(reply.status, 200);
}

async function requests(path) {
  const stats = await (await fetch(`${root}/__control/stats`)).json();
  return stats.endpoints[path]?.requests ?? 0;
}

const Summary = z.object({
  title: z.string(),
  key_points: z.array(z.string()),
  mood: z.enum(['calm', 'stormy']),
});
const text = 'The sea was calm. Nobody spoke. A gull cried!';

test('chat: structured output is parsed', async () => {
  const completion = await client.chat.completions.parse({
    model: 'gpt-5.4-mini',
    messages: [{ role: 'user', content: text }],
    response_format: zodResponseFormat(Summary, 'summary'),
  });
  assert.deepEqual(completion.choices[0].message.parsed, {
    title: 'The sea was calm.',
    key_points: ['Nobody spoke.', 'A gull cried!'],
    mood: 'calm',
  });
  assert.ok(completion.usage.total_tokens > 0);
  assert.match(completion._request_id, /^req_/);
});

test('responses: structured output is parsed', async () => {
  const response = await client.responses.parse({
    model: 'gpt-5.4-mini',
    input: text,
    text: { format: zodTextFormat(Summary, 'summary') },
  });
  assert.equal(response.output_parsed.title, 'The sea was calm.');
  assert.ok(response.output_text.startsWith('{"title"'));
});

test('chat: a refusal is a refusal', async () => {
  await control({ rules: [{ fault: 'refusal' }] });
  const completion = await client.chat.completions.parse({
    model: 'gpt-5.4-mini',
    messages: [{ role: 'user', content: text }],
    response_format: zodResponseFormat(Summary, 'summary'),
  });
  assert.equal(completion.choices[0].message.parsed, null);
  assert.match(completion.choices[0].message.refusal, /cannot assist/);
});

test('chat: truncation throws', async () => {
  await assert.rejects(
    client.chat.completions.parse({
      model: 'gpt-5.4-mini',
      messages: [{ role: 'user', content: text }],
      max_completion_tokens: 2,
      response_format: zodResponseFormat(Summary, 'summary'),
    }),
    { name: 'Error', message: /length limit/ },
  );
});

test('embeddings: base64 by default, floats on request, the same numbers', async () => {
  const body = { model: 'text-embedding-3-small', input: ['quick brown fox', 'lazy dog'] };
  const decoded = await client.embeddings.create(body);
  const plain = await client.embeddings.create({ ...body, encoding_format: 'float' });
  assert.equal(decoded.data.length, 2);
  for (const i of [0, 1]) {
    assert.equal(decoded.data[i].index, i);
    assert.equal(decoded.data[i].embedding.length, 1536);
    const length = decoded.data[i].embedding.reduce((sum, x) => sum + x * x, 0);
    assert.ok(Math.abs(length - 1) < 1e-5);
    decoded.data[i].embedding.forEach((x, k) =>
      assert.ok(Math.abs(x - plain.data[i].embedding[k]) < 1e-6),
    );
  }
  const short = await client.embeddings.create({ ...body, dimensions: 64 });
  assert.equal(short.data[0].embedding.length, 64);
});

// One second of a rectangular wave: 16 kHz, mono, s16.
function wav() {
  const bytes = Buffer.alloc(44 + 32000);
  bytes.write('RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0', 'latin1');
  bytes.writeUInt32LE(16000, 24);
  bytes.writeUInt32LE(32000, 28);
  bytes.write('\x02\0\x10\0data', 32, 'latin1');
  bytes.writeUInt32LE(32000, 40);
  for (let i = 0; i < 16000; i++) bytes.writeInt16LE(i % 160 < 80 ? 2000 : -2000, 44 + 2 * i);
  return bytes;
}

test('transcriptions: upload from a file stream', async (t) => {
  const path = `${process.env.FAKE_TMP}/second.wav`;
  fs.writeFileSync(path, wav());
  const plain = await client.audio.transcriptions.create({
    file: fs.createReadStream(path),
    model: 'gpt-transcribe',
    languages: ['en', 'de'],
    keywords: ['aegis'],
  });
  assert.equal(plain.text, 'This recording lasts 1.0 seconds. At second 0 the level is 2000.');
  assert.deepEqual(plain.languages, [{ code: 'en' }]);
  const verbose = await client.audio.transcriptions.create({
    file: fs.createReadStream(path),
    model: 'whisper-1',
    response_format: 'verbose_json',
    timestamp_granularities: ['segment'],
  });
  assert.equal(verbose.segments[0].end, 1);
  assert.equal(verbose.language, 'english');
});

test('models: list and get', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes('whisper-1'));
  assert.equal((await client.models.retrieve('whisper-1')).id, 'whisper-1');
});

test('errors have the classes the client gives them', async () => {
  const embed = (c = client) => c.embeddings.create({ model: 'text-embedding-3-small', input: 'x' });
  await assert.rejects(embed(new OpenAI({ ...options, apiKey: 'sk-wrong' })), (e) => {
    assert.ok(e instanceof OpenAI.AuthenticationError);
    assert.equal(e.code, 'invalid_api_key');
    return true;
  });
  await assert.rejects(client.models.retrieve('nope'), (e) => {
    assert.ok(e instanceof OpenAI.NotFoundError);
    assert.equal(e.code, 'model_not_found');
    return true;
  });
  await assert.rejects(
    client.chat.completions.create({
      model: 'gpt-5.4-mini',
      temperature: 0.5,
      messages: [{ role: 'user', content: 'x' }],
    }),
    (e) => {
      assert.ok(e instanceof OpenAI.BadRequestError);
      assert.equal(e.code, 'unsupported_parameter');
      assert.equal(e.param, 'temperature');
      return true;
    },
  );
  await control({ rules: [{ status: 429, body: { error: { message: 'slow', code: 'rate_limit_exceeded' } } }] });
  await assert.rejects(embed(), OpenAI.RateLimitError);
  await control({ rules: [{ status: 500 }] });
  await assert.rejects(embed(), OpenAI.InternalServerError);
  await control({ rules: [{ fault: 'reset', times: 2 }] });
  await assert.rejects(embed(), OpenAI.APIConnectionError);
  await control({ reset: true });
});

test('retries are honoured', async () => {
  const patient = new OpenAI({ ...options, maxRetries: 2 });
  const before = await requests('/v1/embeddings');
  await control({ rules: [{ times: 2, status: 429, headers: { 'retry-after-ms': '30' } }] });
  const reply = await patient.embeddings.create({ model: 'text-embedding-3-small', input: 'x' });
  assert.equal(reply.data.length, 1);
  assert.equal((await requests('/v1/embeddings')) - before, 3);
});
