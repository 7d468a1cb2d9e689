import { afterAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { startService } from '@loom/shared/service.ts';
import { until } from '@loom/shared/testing/until.ts';
import { openBus } from './bus.ts';
import { draft, event, responseCompleted } from './events.ts';
import { killAll, run, runHere, start, watch } from './loom.ts';

const bus = await openBus();
afterAll(async () => {
  killAll();
  await bus.close();
});

describe('loom status', () => {
  test('tells of services, streams, groups, alerts and dead letters', async () => {
    const log = createLog({ service: 'test', level: 'error' });
    const on = { 'response.completed': () => [] };
    const service = await startService({ name: 'scribe', replica: 'scribe-1', streams: bus.streams, log, on });
    await bus.publish(draft(event('response.completed', responseCompleted())));
    await until(() => service.counters.handled === 1);
    await bus.redis.xgroup('CREATE', 't:responses', 'sleeper', '0');
    await bus.redis.hset('t:rewriters', 'compact-rewriter', '{}');
    const bypassed = { requestId: 'r1', rewriter: 'compact-rewriter', outcome: 'absent', waitedMs: 0 };
    const alert = draft(event('rewriter.bypassed', bypassed));
    await bus.publish(alert, alert);
    await bus.redis.set('t:service:gateway:pi-1', '{"openBreakers":["compact-rewriter"]}');
    await bus.redis.xadd('t:bull:turn-end:events', '*', 'event', 'added');

    const { code, lines, stderr } = await run(['status', '--json'], bus.environment);

    const status = JSON.parse(lines[0] as string);
    expect([code, lines.length, stderr]).toEqual([0, 1, '']);
    expect(status).toEqual({
      at: expect.any(Number),
      replicas: [
        {
          service: 'gateway',
          replica: 'pi-1',
          since: '',
          handled: 0,
          failed: 0,
          deadLettered: 0,
          memoryBytes: null,
        },
        {
          service: 'scribe',
          replica: 'scribe-1',
          since: expect.stringMatching(/^\d{4}-/),
          handled: expect.any(Number),
          failed: 0,
          deadLettered: 0,
          memoryBytes: expect.any(Number),
        },
      ],
      openBreakers: [{ rewriter: 'compact-rewriter', gateway: 'pi-1' }],
      absentRewriters: ['compact-rewriter'],
      streams: [
        { name: 'alerts', length: 2, groups: [] },
        {
          name: 'responses',
          length: 1,
          groups: [
            { name: 'scribe', lag: 0, pending: 0, oldestUnreadMs: null },
            { name: 'sleeper', lag: 1, pending: 0, oldestUnreadMs: expect.any(Number) },
          ],
        },
      ],
      deadLetters: 0,
      alerts: [{ type: 'rewriter.bypassed', detail: 'compact-rewriter absent', count: 2 }],
      memory: { usedBytes: expect.any(Number), maxBytes: 0, residentBytes: expect.any(Number) },
    });
    await service.stop();
  });

  test('leaves out alerts that are older than an hour', async () => {
    await bus.redis.flushall();
    const { fields } = bus.streams.seal(
      draft(event('spool.full', { gateway: 'g1', dropped: 1 })),
      (await import('@loom/shared/telemetry.ts')).contextOf(),
    );
    await bus.redis.xadd('t:alerts', `${Date.now() - 3_700_000}-0`, ...fields);

    const { lines } = await runHere(['status'], bus.environment);

    expect(lines.at(-1)).toBe('no alerts in the last hour');
  });

  test('comes again with --watch until Ctrl-C', async () => {
    await bus.redis.flushall();

    const { code, lines } = await watch(start(['status', '--json', '--watch'], bus.environment), 2);

    expect(code).toBe(0);
    // A slow machine may see a third one before the Ctrl-C comes.
    expect(lines.slice(0, 2).map((line) => JSON.parse(line).streams)).toEqual([[], []]);
  });
});
