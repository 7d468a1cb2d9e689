import http, { type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sseEventOf } from './sse.ts';

/**
 * Answers as the header `x-bench-answer` says, and prints its port: `json`, a message of about 2 KB at once; `sse`, 300
 * events as fast as they go; `paced <events> <gap>`, one event in so many milliseconds.
 */
const message = Buffer.from(
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
const FAST_EVENTS = 300;

const server = http.createServer((request, response) => {
  const [kind, events, gapMs] = String(request.headers['x-bench-answer'] ?? 'json').split(' ');
  request.resume();
  request.once('end', () => {
    if (kind === 'json') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': message.length });
      response.end(message);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (kind === 'sse') answerFast(response);
    else answerPaced(response, Number(events), Number(gapMs));
  });
});
// Targets wait for their turn longer than Node keeps a connection.
server.keepAliveTimeout = 75_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));

function answerFast(response: ServerResponse): void {
  response.write(sseEventOf('start'));
  for (let at = 0; at < FAST_EVENTS; at++) response.write(sseEventOf('delta'));
  response.end(sseEventOf('stop'));
}

function answerPaced(response: ServerResponse, events: number, gapMs: number): void {
  response.write(sseEventOf('start'));
  let sent = 0;
  const timer = setInterval(() => {
    if (sent++ < events) response.write(sseEventOf('delta'));
    else {
      clearInterval(timer);
      response.end(sseEventOf('stop'));
    }
  }, gapMs);
  response.once('close', () => clearInterval(timer));
}
