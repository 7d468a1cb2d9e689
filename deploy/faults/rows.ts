import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { KEEP } from '@loom/shared/event.ts';
import { until } from '@loom/shared/testing/until.ts';
import { Account } from './caller.ts';
import { randomOf } from './random.ts';
import type { Fault, TcpProxy } from './tcp-proxy.ts';
import type { ServiceName, World } from './world.ts';

/** What came of a fault. */
export interface Outcome {
  account: Account;
  /** Lost without a word. */
  lost: string[];
  /** What was lost and told of. */
  told?: string;
}

export interface Row {
  /** For `--only`. */
  name: string;
  /** As the table says it. */
  fault: string;
  /** Puts the fault in force under load, takes it away, and says what is missing. */
  run(world: World, options: RowOptions): Promise<Outcome>;
  /** Only where it is asked for by name. */
  isHidden?: true;
}

export interface RowOptions {
  rounds: number;
  seed: number;
  say: (line: string) => void;
}

/** How long a fault lasts that nothing else ends, milliseconds. */
const HOLD_MS = 1_500;

/** A fault under load; afterwards the clients go on for some turns. */
async function under(world: World, act: (turns: (more: number) => Promise<void>) => Promise<void>): Promise<Outcome> {
  const account = await world.converse(async (_, turns) => {
    await act(turns);
    await turns(4);
  });
  return { account, lost: await world.losses(account) };
}

/** Three rows for each network: what makes it slow, what breaks it, and what does not even say so. */
function networkRows(name: keyof World['networks'], between: string): Row[] {
  const each = (kind: string, fault: string, act: (proxy: TcpProxy) => Promise<void>): Row => ({
    name: `${name}-${kind}`,
    fault: `${between}: ${fault}`,
    run: (world) => under(world, () => act(world.networks[name])),
  });
  const slow: Fault[] = [{ latencyMs: 60 }, { sliceBytes: 1_000 }, { bytesPerSecond: 400_000 }, { isFrozen: true }];
  return [
    each('slow', '60 ms late, 1,000-byte slices, 400 KB/s, frozen for 1.5 s', async (proxy) => {
      for (const fault of slow) {
        proxy.set(fault);
        await delay(HOLD_MS);
      }
      proxy.set({});
    }),
    each('reset', 'connections reset, five times', async (proxy) => {
      for (let at = 0; at < 5; at++) {
        proxy.reset();
        await delay(200);
      }
    }),
    each('half-open', 'half-open for 1.5 s', async (proxy) => {
      proxy.set({ isHalfOpen: true });
      await delay(HOLD_MS);
      proxy.set({});
    }),
  ];
}

const OTHERS: ServiceName[] = ['compact-rewriter', 'intro-injector', 'trace-grouper', 'transcript-watcher'];

function processRows(): Row[] {
  const each = (kind: string, fault: string, act: (world: World, name: ServiceName) => Promise<void>): Row[] => [
    {
      name: `${kind}-gateway`,
      fault: `${fault} of the gateway`,
      run: (world) => under(world, () => act(world, 'gateway')),
    },
    {
      name: `${kind}-others`,
      fault: `${fault} of each other service in turn`,
      run: (world) =>
        under(world, async () => {
          for (const name of OTHERS) await act(world, name);
        }),
    },
  ];
  return [
    ...each('kill', 'SIGKILL', async ({ services }, name) => {
      await services[name].kill();
      await services[name].start();
    }),
    ...each('freeze', 'SIGSTOP for 1.5 s', async ({ services }, name) => {
      services[name].freeze();
      await delay(HOLD_MS);
      services[name].thaw();
    }),
    ...each('term', 'SIGTERM, and a start,', async ({ services }, name) => {
      await services[name].stop();
      await services[name].start();
    }),
  ];
}

function redisRows(): Row[] {
  const each = (
    kind: string,
    fault: string,
    begin: (world: World) => unknown,
    end: (world: World) => unknown,
  ): Row => ({
    name: `redis-${kind}`,
    fault: `Redis ${fault}`,
    run: (world) =>
      under(world, async (turns) => {
        await begin(world);
        await turns(4);
        await end(world);
      }),
  });
  const set =
    (...words: [string, string]) =>
    ({ client }: World) =>
      client.config('SET', ...words);
  return [
    each(
      'kill',
      'killed, and started again with its file',
      ({ redis }) => redis.kill(),
      ({ redis }) => redis.start(),
    ),
    each(
      'freeze',
      'frozen',
      ({ redis }) => redis.freeze(),
      ({ redis }) => redis.thaw(),
    ),
    each('full', 'out of memory (noeviction)', set('maxmemory', '1'), set('maxmemory', '0')),
    each('alone', 'read-only: too few replicas', set('min-replicas-to-write', '1'), set('min-replicas-to-write', '0')),
    each(
      'replica',
      'read-only: made a replica of nobody',
      ({ client }) => client.call('REPLICAOF', '127.0.0.1', '1'),
      ({ client }) => client.call('REPLICAOF', 'NO', 'ONE'),
    ),
    emptyRow('redis-empty', 'Redis comes back empty between two turns', (world) => world.redis.empty()),
    emptyRow('redis-failover', 'failover to an empty Redis between two turns', (world) => world.failOver()),
  ];
}

/** What Redis alone had is gone with it: what the clients have by then was told of, and what comes then has to be. */
function emptyRow(name: string, fault: string, act: (world: World) => Promise<void>): Row {
  return {
    name,
    fault,
    async run(world) {
      const { account, callers } = await world.tell(2);
      const before = await world.losses(account);
      const told = world.ledger.emptied;
      await act(world);
      await world.tell(3, account, callers);
      const lost = [...before, ...(await world.losses(account))];
      const isTold = world.ledger.emptied > told;
      if (!isTold) lost.push('word of what Redis had held');
      return { account, lost, ...(isTold && { told: '`redis.emptied` tells of it' }) };
    },
  };
}

/** A disk that takes nothing more, while Redis is away. */
const diskRow: Row = {
  name: 'disk-full',
  fault: 'Redis away and the disk of the spool full',
  async run(world) {
    const { ledger, services, redis } = world;
    const before = ledger.droppedBySpool;
    const limit = (bytes: number) =>
      execFileSync('prlimit', ['--pid', String(services.gateway.pid), `--fsize=${bytes}:unlimited`]);
    const account = await world.converse(async (_, turns) => {
      await redis.kill();
      limit(20_000);
      await turns(6);
      limit(1_000_000_000);
      await redis.start();
      await turns(2);
    });
    // What was dropped is told, and missing; a turn of which something was dropped has other sums, as it must.
    const told = () => ledger.droppedBySpool - before;
    const missing = () => [...ledger.lackOf(account).values()].reduce((sum, count) => sum + Math.max(0, count), 0);
    await until(() => told() > 0 && missing() <= told(), { withinMs: 60_000 }).catch(() => {
      // Then some of it is lost without a word.
    });
    const lacks = ledger.lackOf(account);
    const whole = Object.assign(new Account(), account, {
      turns: account.turns.filter(({ key }) => lacks.get(key) === 0),
    });
    const untold = Array.from({ length: Math.max(0, missing() - told()) }, () => 'an event that the disk did not take');
    return {
      account,
      lost: [...untold, ...(await world.losses(whole))],
      told: `\`spool.full\` tells of ${told()} events`,
    };
  },
};

/** Entries as they lie in the streams that the grouper reads. */
async function entriesSince(
  world: World,
  from: Map<string, string>,
): Promise<[key: string, id: string, fields: string[]][]> {
  const all = [...from].map(async ([key, id]) =>
    (await world.client.xrange(key, `(${id}`, '+')).map(
      ([at, fields]) => [key, at, fields] as [string, string, string[]],
    ),
  );
  return (await Promise.all(all)).flat().sort(([, a], [, b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

const READ = ['requests', 'responses', 'captures'].map((name) => `loom:${name}`);

async function endsOf({ client }: World): Promise<Map<string, string>> {
  const ends = READ.map(
    async (key) => [key, (await client.xrevrange(key, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0'] as const,
  );
  return new Map(await Promise.all(ends));
}

function busRows(): Row[] {
  return [
    {
      name: 'poison',
      fault: 'events that are none, of a later version, and of types that nobody knows',
      async run(world) {
        const before = world.ledger.deadLetters;
        const envelope = ['id', 'x', 'source', '/faults', 'subject', 's', 'time', new Date().toISOString()];
        const entry = (version: string, type: string, data: string) => [
          ...['specversion', version, 'type', type, ...envelope, 'datacontenttype', 'application/json', 'data', data],
        ];
        const poison = [['no', 'event'], entry('1.0', 'response.failed', '{'), entry('2.0', 'response.failed', '{}')];
        const outcome = await under(world, async () => {
          for (const fields of [...poison, entry('1.0', 'tea.served', '{}')])
            await world.client.xadd('loom:responses', '*', ...fields);
        });
        // Each of the two groups that read the stream has to put them aside: what nobody may make sense of.
        const expected = 2 * poison.length;
        await until(() => world.ledger.deadLetters - before >= expected, { withinMs: 60_000 }).catch(() => {});
        const count = world.ledger.deadLetters - before;
        const lost = count === expected ? [] : [`${count} dead letters, expected ${expected}`];
        return { ...outcome, lost: [...outcome.lost, ...lost], told: `${count} dead letters are what they should be` };
      },
    },
    {
      name: 'duplicates',
      fault: 'every event twice, and again after its turn has ended',
      async run(world) {
        const from = await endsOf(world);
        const again = async () => {
          for (const [key, , fields] of await entriesSince(world, from)) await world.client.xadd(key, '*', ...fields);
        };
        const outcome = await under(world, again);
        await again();
        const [{ length }, lost] = [await entriesSince(world, from), await world.losses(outcome.account)];
        await until(async () => (await backlogOf(world)) === 0, { withinMs: 60_000 });
        return {
          account: outcome.account,
          lost: length > 0 ? [...lost, ...(await world.losses(outcome.account))] : ['nothing'],
        };
      },
    },
    {
      name: 'reordered',
      fault: 'the grouper gets every event in reverse',
      async run(world) {
        const { services, client } = world;
        await services['trace-grouper'].stop();
        const from = await endsOf(world);
        const { account } = await world.tell(2);
        await until(() => world.ledger.missingEvents(account).length === 0, { withinMs: 30_000 });
        const entries = await entriesSince(world, from);
        const ends = await endsOf(world);
        for (const [key, , fields] of entries.toReversed()) await client.xadd(key, '*', ...fields);
        for (const [key, end] of ends) await client.xgroup('SETID', key, 'trace-grouper', end);
        await services['trace-grouper'].start();
        return { account, lost: await world.losses(account) };
      },
    },
    gapRow('lag', 'the grouper stopped while 1.5 times of what `loom:captures` keeps is written', 0.5),
    gapRow('gap', 'the grouper stopped while three times of that is written', 2),
  ];
}

async function backlogOf({ client }: World): Promise<number> {
  const groups = await Promise.all(READ.map((key) => client.xinfo('GROUPS', key) as Promise<unknown[][]>));
  const member = (fields: unknown[], name: string) => fields[fields.indexOf(name) + 1];
  const ours = groups.flat().filter((fields) => member(fields, 'name') === 'trace-grouper');
  return ours.reduce((sum, fields) => sum + Number(member(fields, 'pending')) + Number(member(fields, 'lag') ?? 0), 0);
}

/** Writes more than a stream keeps to a group that is not there. */
function gapRow(name: string, fault: string, times: number): Row {
  return {
    name,
    fault,
    async run(world) {
      const { services, client, ledger } = world;
      const key = 'loom:captures';
      const told = ledger.lostBy('trace-grouper');
      await until(async () => (await backlogOf(world)) === 0, { withinMs: 60_000 });
      await services['trace-grouper'].stop();
      const from = new Map([[key, (await endsOf(world)).get(key) ?? '0']]);
      const { account } = await world.tell(1);
      const filler = ['specversion', '1.0', 'id', 'f', 'source', '/faults', 'type', 'tea.served', 'subject', 's'];
      const batch = client.pipeline();
      const count = Math.ceil(KEEP.captures * (1 + times));
      for (let at = 0; at < count; at++)
        batch.xadd(key, 'MAXLEN', '~', 2 * KEEP.captures, '*', ...filler, 'time', '', 'data', '{}');
      const ids = (await batch.exec())?.map(([, id]) => String(id)) ?? [];
      // A round of whoever keeps the streams.
      const round = await client.get('loom:streams-kept');
      await until(async () => (await client.get('loom:streams-kept')) !== round, { withinMs: 60_000 });
      const left = new Set((await entriesSince(world, from)).map(([, id]) => id));
      const gone = ids.filter((id) => !left.has(id)).length;
      await until(() => ledger.lostBy('trace-grouper') - told > 0 || gone === 0, { withinMs: 30_000 }).catch(() => {});
      await services['trace-grouper'].start();
      const tells = ledger.lostBy('trace-grouper') - told;
      // Besides the filler the captures of the turns themselves went.
      const untold = Array.from({ length: Math.max(0, gone - tells) }, () => 'an entry that a group had not read');
      return {
        account,
        lost: [...untold, ...(await world.losses(account))],
        told: tells > 0 ? `\`stream.gap\` tells of ${tells} entries` : `none of ${count} entries went`,
      };
    },
  };
}

/** The ledger has to miss what is not there. */
const sabotageRow: Row = {
  name: 'sabotage',
  fault: 'an answer that nobody published, and a line that nobody wrote',
  isHidden: true,
  async run(world) {
    const { account } = await world.tell(1);
    const before = await world.losses(account);
    account.turns[0]?.answers.push('req_of_nobody');
    account.lines.push('a line of nobody');
    return {
      account,
      lost: [...before, ...world.ledger.missingEvents(account), ...world.ledger.missingLines(account)],
    };
  },
};

const killsRow: Row = {
  name: 'kills',
  fault: 'random kills of services and Redis under load',
  async run(world, { rounds, seed, say }) {
    const random = randomOf(seed);
    const victims = [...world.names, 'redis'] as const;
    const killed = new Map<string, number>();
    const account = await world.converse(async (current) => {
      for (let round = 1; round <= rounds; round++) {
        const victim = victims[Math.floor(random() * victims.length)] ?? 'redis';
        killed.set(victim, (killed.get(victim) ?? 0) + 1);
        await delay(random() * 400);
        const { redis, services } = world;
        if (victim === 'redis') await redis.kill();
        else await services[victim].kill();
        await delay(random() * 200);
        await (victim === 'redis' ? redis.start() : services[victim].start());
        if (round % 20 === 0) say(`  ${round} kills, ${current.turns.length} turns, ${current.calls} calls`);
      }
    });
    say(`  killed: ${[...killed].map(([name, times]) => `${name} ${times}`).join(', ')}`);
    return { account, lost: await world.losses(account) };
  },
};

export const ROWS: Row[] = [
  ...networkRows('clients', 'client and gateway'),
  ...networkRows('upstream', 'gateway and API'),
  ...networkRows('redis', 'services and Redis'),
  ...processRows(),
  ...redisRows(),
  diskRow,
  ...busRows(),
  sabotageRow,
  killsRow,
];
