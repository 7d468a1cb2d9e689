import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { TcpProxy } from '../../faults/tcp-proxy.ts';

/** Sends back what it gets, and remembers each piece. */
const pieces: string[] = [];
const open = new Set<Socket>();
const echo = createServer((socket) => {
  open.add(socket);
  socket.on('close', () => open.delete(socket));
  socket.on('error', () => {});
  socket.on('data', (data) => {
    pieces.push(data.toString());
    socket.write(data);
  });
});
const portOf = (server: typeof echo) => (server.address() as AddressInfo).port;

let proxy: TcpProxy;

beforeAll(async () => {
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
});
afterAll(() => void echo.close());
beforeEach(async () => {
  pieces.length = 0;
  proxy = await TcpProxy.open(portOf(echo));
});
afterEach(() => proxy.close());

async function dial() {
  const socket = connect(proxy.port, '127.0.0.1');
  let received = '';
  let failure: string | undefined;
  socket.on('data', (data) => {
    received += data.toString();
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code;
  });
  await once(socket, 'connect');
  return { socket, received: () => received, failure: () => failure };
}

describe('TcpProxy', () => {
  test.each([
    ['nothing', {}],
    ['latency', { latencyMs: 5 }],
    ['slices', { sliceBytes: 3, latencyMs: 2 }],
    ['little bandwidth', { bytesPerSecond: 10_000, sliceBytes: 7 }],
  ])('brings every byte through, in order, under %s', async (_, fault) => {
    proxy.set(fault);
    const { socket, received } = await dial();
    const text = Array.from({ length: 20 }, (__, at) => `piece ${at};`).join('');

    socket.write(text);

    await until(() => received() === text);
    if ('sliceBytes' in fault) expect(pieces.length).toBeGreaterThan(1);
  });

  test('keeps back what is sent while it is frozen, and brings it afterwards', async () => {
    const { socket, received } = await dial();
    proxy.set({ isFrozen: true });
    socket.write('frozen');
    const other = await dial();
    proxy.set({});
    other.socket.write('later');
    await until(() => received() === 'frozen' && other.received() === 'later');
  });

  test('brings nothing through a half-open connection, and ends it with the fault', async () => {
    const { socket, received, failure } = await dial();
    socket.write('before');
    await until(() => received() === 'before');
    proxy.set({ isHalfOpen: true });
    socket.write('lost');
    // Another connection that was as far shows that the proxy has it.
    const other = await dial();
    other.socket.write('lost, too');
    await until(() => proxy.swallowing === 2);
    proxy.set({});

    await until(() => failure() === 'ECONNRESET' && other.failure() === 'ECONNRESET');
    expect([received(), other.received()]).toEqual(['before', '']);
  });

  test('resets both ends', async () => {
    const { socket, received, failure } = await dial();
    socket.write('here');
    await until(() => received() === 'here');

    proxy.reset();

    await until(() => failure() === 'ECONNRESET' && open.size === 0);
  });

  test('leads to another server after a failover', async () => {
    const other = createServer((socket) => socket.end('the other'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const first = await dial();
    first.socket.write('here');
    await until(() => first.received() === 'here');

    proxy.fail(portOf(other));

    await until(() => first.failure() === 'ECONNRESET');
    const second = await dial();
    await until(() => second.received() === 'the other');
    other.close();
  });
});
