import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers every request at once with a message of about 2 KB; prints its port. */
const answer = Buffer.from(
  JSON.stringify({
    id: 'msg_bench',
    type: 'message',
    role: 'assistant',
    model: 'claude-opus-5-5',
    content: [{ type: 'text', text: 'Looked at it. '.repeat(140) }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 10, output_tokens: 300, cache_read_input_tokens: 1000, cache_creation_input_tokens: 0 },
  }),
);
const server = http.createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
    response.end(answer);
  });
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
