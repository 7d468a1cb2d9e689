import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Balancer {
  /** `http://127.0.0.1:<port>` */
  url: string;
  close(): Promise<void>;
}

/**
 * A TCP balancer: each connection goes to the next backend, and on to the one after it where nobody listens.
 *
 * @param backends the ports on loopback, asked for at each connection
 */
export async function startBalancer(backends: () => number[]): Promise<Balancer> {
  let next = 0;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const ports = backends();
    next += 1;
    forward(client, [...ports.slice(next % ports.length), ...ports.slice(0, next % ports.length)]);
  });

  function forward(client: Socket, [port, ...others]: number[]): void {
    if (port === undefined) {
      client.destroy();
      return;
    }
    const backend = connect(port, '127.0.0.1');
    for (const socket of [client, backend]) open.add(socket.once('close', () => open.delete(socket)));
    const refused = () => forward(client, others);
    backend.once('error', refused);
    backend.once('connect', () => {
      // From here on either end's fault is the other's to see, as without a balancer.
      backend.off('error', refused).on('error', () => client.destroy());
      client.on('error', () => backend.destroy());
      client.pipe(backend).pipe(client);
    });
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
