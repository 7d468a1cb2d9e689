import { afterAll, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../../services/gateway/test/alpha.ts';
import { ServiceProcess } from '../../services/gateway/test/e2e/service-process.ts';
import { startStack } from '../../services/gateway/test/e2e/stack.ts';
import { underLoad } from '../containers/load.ts';
import { countOutcomes } from '../containers/outcomes.ts';

const CALLERS = 8;
const SWAPS = 3;
/** The load that each swap meets before it and after it, in requests. */
const LOAD = 40;

// The hold is far longer than a busy machine takes to start a service.
const stack = await startStack({ LOOM_COMPACT_HOLD_MS: '30000' });
const started: ServiceProcess[] = [stack.introInjector];
afterAll(async () => {
  for (const replica of started) await replica.kill();
  await stack.close();
});

let answered = 0;

/** A session of one prompt, with one memorable that waits for it. */
async function ask(session: string): Promise<void> {
  await stack.client.rpush(`intro:memorables:${session}`, `a moment of ${session}`);
  const request = alphaRequest(session, 'Tell me.');
  const response = await fetch(`${stack.url}/v1/messages`, { method: 'POST', ...request });
  await response.text();
  if (response.status !== 200) throw new Error(`expected 200, got ${response.status}`);
  answered += 1;
}

/** A compaction, as clients of 1.0 and 2.0 ask for it. */
async function compact(session: string): Promise<void> {
  const system = 'You are a helpful AI assistant tasked with summarizing conversations.';
  const request = alphaRequest(session, 'Tell me.', { system, class: 'compaction' });
  const response = await fetch(`${stack.url}/v1/messages`, { method: 'POST', ...request });
  await response.text();
  if (response.status !== 200) throw new Error(`expected 200, got ${response.status}`);
  answered += 1;
}

/** Runs `act` while callers ask, one request each at a time, before it and until `LOAD` more have been answered. */
async function actUnderLoad(name: string, act: () => Promise<void>, call = ask): Promise<void> {
  const more = async () => {
    const target = answered + LOAD;
    await until(() => answered >= target);
  };
  await underLoad(name, CALLERS, call, async () => {
    await more();
    await act();
    await more();
  });
}

/**
 * The injector's own answers are `applied`, and `none` or `error` where this machine's Redis took longer than the
 * injector waits for it; every other outcome means that nobody answered.
 */
async function expectAllAnswered(name: string): Promise<void> {
  const { applied = 0, none = 0, error = 0, ...unanswered } = await countOutcomes(stack.client, name);
  expect(unanswered).toEqual({});
  expect(applied).toBeGreaterThan(LOAD);
  expect(applied + none + error).toBeGreaterThanOrEqual(2 * LOAD);
}

async function startReplica(): Promise<ServiceProcess> {
  const settings = { LOOM_INTRO_HOLD_MS: '10000', ...stack.environment };
  const replica = new ServiceProcess('intro-injector', async () => settings);
  await replica.start();
  started.push(replica);
  return replica;
}

describe('a rewriter under load', () => {
  test('is replaced without the loss of an edit: the new one starts, then the old one drains', async () => {
    let running = stack.introInjector;

    await actUnderLoad('drained', async () => {
      for (let swap = 1; swap <= SWAPS; swap++) {
        const old = running;
        running = await startReplica();
        await old.stop();
      }
    });

    await expectAllAnswered('drained');
    expect(await stack.client.xpending('loom:requests', 'intro-injector')).toEqual([0, null, null, null]);
  });

  test('that is killed leaves what it was asked to its peer, which answers in time', async () => {
    const peer = await startReplica();

    await actUnderLoad('killed', async () => {
      const killed = started.find((replica) => replica !== peer && replica.isRunning) as ServiceProcess;
      await killed.kill();
    });

    await expectAllAnswered('killed');
    await until(async () => (await stack.client.xpending('loom:requests', 'intro-injector'))[0] === 0);
  });

  test('that no compaction can do without is waited for: stopped and started again, it loses none', async () => {
    const swap = async () => {
      await stack.compactRewriter.stop();
      await stack.compactRewriter.start();
    };

    await actUnderLoad('compacted', swap, compact);

    const { applied = 0, ...others } = await countOutcomes(stack.client, 'compacted');
    expect(others).toEqual({});
    expect(applied).toBeGreaterThanOrEqual(2 * LOAD);
  });
});
