// The scripted API of `make containers`, in the gateway's own network: each answer quotes the request.
import { createServer } from 'node:http';

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString();
  const usage = { input_tokens: 1, output_tokens: 1 };
  const answer = { id: 'msg_1', type: 'message', role: 'assistant', model: 'scripted', stop_reason: 'end_turn', usage };
  response.writeHead(200, { 'content-type': 'application/json', 'request-id': 'req_1' });
  response.end(JSON.stringify({ ...answer, content: [{ type: 'text', text: body }] }));
});
server.listen(9000, '127.0.0.1');
process.once('SIGTERM', () => server.close(() => process.exit(0)));
