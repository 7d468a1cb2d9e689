import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the range from which Linux takes the ports of outgoing connections and of servers that ask for any port: nobody
// gets one of these by chance, not even while the server that it is for is down.
const FIRST = 20_000;
const COUNT = 12_000;
let next = (process.pid * 97) % COUNT;

/** A loopback port that nobody listens on right now, and that nobody else is given by chance. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    const probe = createServer().listen(port, '127.0.0.1');
    try {
      await once(probe, 'listening');
    } catch {
      // Taken: the next one.
      continue;
    }
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}
