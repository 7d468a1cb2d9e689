import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from '@jest/globals';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { expectKeptThroughout, memorablesOf } from '../../services/gateway/test/e2e/forwarded.ts';
import { ServiceProcess } from '../../services/gateway/test/e2e/service-process.ts';
import { startStack } from '../../services/gateway/test/e2e/stack.ts';
import { Talk } from '../../services/gateway/test/e2e/talk.ts';
import { startBalancer } from './balancer.ts';

const stack = await startStack();
const spool = mkdtempSync(join(tmpdir(), 'loom-second-'));
const port = await freePort();
const second = new ServiceProcess('gateway', async () => ({
  LOOM_UPSTREAM_URL: stack.upstream.url,
  LOOM_SPOOL_DIR: spool,
  LOOM_PORT: String(port),
  LOOM_ADMIN_PORT: '0',
  ...stack.environment,
}));
await second.start();
const balancer = await startBalancer(() => [Number(new URL(stack.url).port), port]);
afterAll(async () => {
  await balancer.close();
  await second.kill();
  await stack.close();
  rmSync(spool, { recursive: true });
});

/** Sends a request on a connection of its own; resolves to its place among those the upstream got. */
async function deliver({ path, method, headers, body }: ClientRequest): Promise<number> {
  const request = http.request(balancer.url + path, { method, headers, agent: false });
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  request.once('response', resolve).once('error', reject).end(body);
  const response = await promise;
  const answer = await text(response);
  if (response.statusCode !== 200) throw new Error(`expected 200, got ${response.statusCode}: ${answer}`);
  return Number(String(response.headers['request-id']).replace('req_01Scripted', ''));
}

async function converse(talk: Talk, turns: number[]): Promise<void> {
  for (const turn of turns) {
    await stack.client.rpush(`intro:memorables:${talk.session}`, `noticed before turn ${turn}`);
    await talk.turn(`This is prompt ${turn}.`);
  }
}

/** How many requests of a session each gateway has forwarded, in no order of theirs. */
async function sharesOf(session: string): Promise<number[]> {
  const events = (await stack.events('request.forwarded')).filter(({ subject }) => subject === session);
  return [...Map.groupBy(events, ({ data }) => data.gateway).values()].map(({ length }) => length);
}

describe('two gateways behind one address', () => {
  test('replay the same bytes, whichever of them a request of the session comes to', async () => {
    const talk = new Talk(stack, { name: 'by turns', version: '2.1.330', by: deliver });

    await converse(talk, [1, 2, 3, 4, 5, 6, 7]);

    expectKeptThroughout(talk.exchanges);
    expect(memorablesOf(talk.last).flatMap(([, items]) => items)).toEqual(
      [1, 2, 3, 4, 5, 6, 7].map((turn) => `noticed before turn ${turn}`),
    );
    expect(await sharesOf(talk.session)).toEqual([7, 7]);
  });

  test('go on as one when the other drains, and when it is killed', async () => {
    const talk = new Talk(stack, { name: 'one leaves', version: '2.1.330', by: deliver });

    await converse(talk, [1, 2]);
    await second.stop();
    await converse(talk, [3, 4]);
    await second.start();
    await stack.gateway.kill();
    await converse(talk, [5, 6]);

    expectKeptThroughout(talk.exchanges);
    expect(memorablesOf(talk.last).flatMap(([, items]) => items)).toEqual(
      [1, 2, 3, 4, 5, 6].map((turn) => `noticed before turn ${turn}`),
    );
  });
});
