import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** Takes whatever is exported to it and keeps nothing; prints its port. */
const server = http.createServer((request, response) => {
  request.resume();
  request.once('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
