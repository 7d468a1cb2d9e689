import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { PortTakenError, requireFreePorts } from '../up/ports.ts';

const holder = createServer();
afterEach(() => {
  holder.close();
});

describe('requireFreePorts', () => {
  test('names the port, who may hold it, and the setting that moves it', async () => {
    holder.listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as { port: number };
    const needed = { host: '127.0.0.1', port, setting: 'LOOM_PORT', holder: 'another gateway' };

    const checked = requireFreePorts([{ ...needed, port: await freePort() }, needed]);

    await expect(checked).rejects.toEqual(
      new PortTakenError(
        `port ${port} is taken, perhaps by another gateway. End it (ss -ltnp 'sport = :${port}' names it) or set LOOM_PORT to another port.`,
      ),
    );
  });

  test('leaves a free port free', async () => {
    const needed = { host: '127.0.0.1', port: await freePort(), setting: 'LOOM_PORT', holder: 'another gateway' };

    await requireFreePorts([needed]);
    await requireFreePorts([needed]);
  });

  test('says when the address is not this machine', async () => {
    const needed = { host: '192.0.2.1', port: await freePort(), setting: 'LOOM_PORT', holder: 'another gateway' };

    await expect(requireFreePorts([needed])).rejects.toThrow(
      `cannot listen on 192.0.2.1:${needed.port} (LOOM_PORT): EADDRNOTAVAIL`,
    );
  });
});
