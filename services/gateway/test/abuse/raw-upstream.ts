import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type StrictRequest, takeRequest } from './strict-request.ts';

/** A request as an upstream without tolerance reads it, and the connection that it came on. */
export type SeenRequest = StrictRequest & { connection: number };

export interface RawUpstream {
  url: string;
  requests: SeenRequest[];
  /** Why bytes could not be read, in the order in which it happened. */
  faults: string[];
  /** What is written for a request; may be replaced at any time. */
  respond: (socket: Socket, request: SeenRequest) => void;
  close(): Promise<void>;
}

export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/**
 * An upstream on bare sockets that reads what comes by RFC 9112 to the letter: what can be read in two ways is a fault,
 * and so is whatever stands behind a request that is not one itself.
 */
export async function startRawUpstream(): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    const connection = ++connections;
    let unread = Buffer.alloc(0);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      sockets.delete(socket);
      if (unread.length > 0) upstream.faults.push(`${unread.length} bytes without an end`);
    });
    socket.on('data', (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      try {
        for (let taken = takeRequest(unread); taken; taken = takeRequest(unread)) {
          unread = unread.subarray(taken.length);
          const request = { ...taken.request, connection };
          upstream.requests.push(request);
          upstream.respond(socket, request);
        }
      } catch (error) {
        upstream.faults.push((error as Error).message);
        unread = Buffer.alloc(0);
        socket.destroy();
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream: RawUpstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    faults: [],
    respond: (socket) => void socket.write(OK),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return upstream;
}
