// An HTTP/2 server for test_http_many: GET or POST /LENGTH/SEED answers LENGTH pseudo-random bytes, in
// pieces, and says in x-got how many bytes came. Reads key.pem and cert.pem from its directory.
import fs from 'node:fs';
import http2 from 'node:http2';

function pattern(length, seed) {
  const bytes = Buffer.alloc(length);
  let x = seed >>> 0;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

function answer(stream, path, got) {
  const [, length, seed] = path.split('/').map(Number);
  const bytes = pattern(length, seed);
  stream.respond({ ':status': 200, 'x-got': String(got) });
  for (let at = 0; at < length; at += 20011) stream.write(bytes.subarray(at, at + 20011));
  stream.end();
}

const server = http2.createSecureServer({
  key: fs.readFileSync('key.pem'),
  cert: fs.readFileSync('cert.pem'),
  settings: { maxConcurrentStreams: 50 },
});
server.on('stream', (stream, headers) => {
  let got = 0;
  stream.on('error', () => {});
  stream.on('data', (chunk) => (got += chunk.length));
  stream.on('end', () => answer(stream, headers[':path'], got));
});
server.listen(0, '127.0.0.1', () => console.log(`ACCEPT 127.0.0.1:${server.address().port}`));
