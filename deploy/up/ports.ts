import { createServer } from 'node:net';

/** A port that `make up` needs, and what to tell who finds it taken. */
export interface NeededPort {
  host: string;
  port: number;
  /** The environment variable that moves it. */
  setting: string;
  /** Who usually holds it. */
  holder: string;
}

/** Another program listens where Loom wants to; the message says what to do. */
export class PortTakenError extends Error {
  override name = 'PortTakenError';
}

/**
 * Listens on each port for a moment; throws PortTakenError for the first that somebody else holds.
 *
 * Without this a service would find out by itself, crash, be restarted, and bury the reason in its log.
 */
export async function requireFreePorts(ports: NeededPort[]): Promise<void> {
  for (const needed of ports) await requireFree(needed);
}

function requireFree({ host, port, setting, holder }: NeededPort): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') {
        reject(new Error(`cannot listen on ${host}:${port} (${setting}): ${error.code}`, { cause: error }));
        return;
      }
      const remedy = `End it (ss -ltnp 'sport = :${port}' names it) or set ${setting} to another port.`;
      reject(new PortTakenError(`port ${port} is taken, perhaps by ${holder}. ${remedy}`));
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}
