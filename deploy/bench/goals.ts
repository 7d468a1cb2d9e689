import type { Results } from './results.ts';

/** A goal, what was measured of it, and whether it is met; `met` is undefined for a figure without a goal. */
export interface Row {
  what: string;
  goal: string;
  measured: string;
  met: boolean | undefined;
}

const ratio = (a: number | undefined, b: number | undefined) => (a ?? Number.NaN) / (b ?? Number.NaN);
const times = (value: number) => `${value.toFixed(2)} ×`;
const sizeOf = (kilobytes: number) => (kilobytes < 1_024 ? `${kilobytes} KB` : `${kilobytes / 1_024} MB`);

/** All goals of which there are figures. */
export function judge(results: Results): Row[] {
  return [
    ...firstByteRows(results),
    ...throughputRows(results),
    ...streamRows(results),
    ...besideRows(results),
    ...memoryRows(results),
    ...redisRows(results),
  ];
}

function firstByteRows({ 'first-byte': cells = [] }: Results): Row[] {
  const goals = new Map([
    [4, 1.3],
    [256, 1.5],
    [1_024, 2],
  ]);
  const find = (kilobytes: number, newest: string, answer: string) =>
    cells.find((cell) => cell.kilobytes === kilobytes && cell.newest === newest && cell.answer === answer);
  const rows: Row[] = [];
  for (const [newest, said] of [
    ['tool-result', 'nobody asked'],
    ['typed', 'a prompt, asked and edited'],
  ] as const)
    for (const [kilobytes, goal] of goals) {
      const cell = find(kilobytes, newest, 'json');
      if (!cell) continue;
      const { hpm, reparse, loom } = cell.added;
      const toHpm = ratio(loom, hpm);
      const what = `added to the first byte, ${sizeOf(kilobytes)}, ${said}`;
      const measured = `${times(toHpm)} hpm, ${times(ratio(loom, reparse))} reparse`;
      const meetsReparse = kilobytes < 256 || ratio(loom, reparse) <= 0.4;
      const alsoReparse = kilobytes < 256 ? '' : ', ≤ 0.4 × reparse';
      rows.push({ what, goal: `≤ ${goal} × hpm${alsoReparse}`, measured, met: toHpm <= goal && meetsReparse });
    }
  return rows;
}

function throughputRows({ throughput: cells = [] }: Results): Row[] {
  const json = cells.filter(({ answer }) => answer === 'json');
  const [small, large] = [
    json.find(({ kilobytes }) => kilobytes === 4),
    json.find(({ kilobytes }) => kilobytes === 1_024),
  ];
  const rows: Row[] = [];
  if (small && large) {
    const slope = (name: string) => ((large.cpuMs[name] as number) - (small.cpuMs[name] as number)) / (1_020 / 1_024);
    const measured = `${slope('loom').toFixed(1)} ms (hpm ${slope('hpm').toFixed(1)}, reparse ${slope('reparse').toFixed(1)})`;
    rows.push({ what: 'CPU of a further MB of body', goal: '≤ 3 ms', measured, met: slope('loom') <= 3 });
  }
  for (const answer of ['json', 'sse']) {
    const some = cells.filter((cell) => cell.answer === answer);
    if (some.length === 0) continue;
    const all = some.map(
      ({ kilobytes, perSecond }) => [kilobytes, ratio(perSecond['loom'], perSecond['hpm'])] as const,
    );
    const measured = all.map(([kilobytes, value]) => `${times(value)} (${sizeOf(kilobytes)})`).join(', ');
    const what = `requests a second on one core, 32 at a time, ${answer.toUpperCase()}`;
    rows.push({ what, goal: '≥ 0.8 × hpm', measured, met: all.every(([, value]) => value >= 0.8) });
  }
  return rows;
}

function streamRows({ streams: cells = [] }: Results): Row[] {
  const rows: Row[] = [];
  const many = cells.find(({ streams }) => streams === 200);
  if (many) {
    const { p50Ms, p99Ms, cpuUsPerEvent } = many;
    const [p50, p99] = [ratio(p50Ms['loom'], p50Ms['hpm']), ratio(p99Ms['loom'], p99Ms['hpm'])];
    const what = '200 streams of 50 events a second, relay';
    rows.push({ what: `${what} p50`, goal: '≤ 1.25 × hpm', measured: times(p50), met: p50 <= 1.25 });
    rows.push({ what: `${what} p99`, goal: '≤ 1.5 × hpm', measured: times(p99), met: p99 <= 1.5 });
    const cpu = cpuUsPerEvent['loom'] as number;
    const measured = `${cpu.toFixed(0)} µs (hpm ${cpuUsPerEvent['hpm']?.toFixed(0)})`;
    rows.push({ what: 'CPU of an event, observed and published', goal: '≤ 60 µs', measured, met: cpu <= 60 });
  }
  const ends = cells.map(({ endMs }) => (endMs['loom'] as number) - (endMs['direct'] as number));
  if (ends.length > 0) {
    const worst = Math.max(...ends);
    rows.push({
      what: 'the end of a stream, of 1, 50 and 200',
      ...{ goal: '≤ direct + 5 ms', measured: `+ ${worst.toFixed(1)} ms`, met: worst <= 5 },
    });
  }
  return rows;
}

function besideRows({ beside: cells = [] }: Results): Row[] {
  return cells.flatMap(({ kilobytes, p99Ms, longestStopMs }) => {
    const p99 = ratio(p99Ms['loom'], p99Ms['hpm']);
    const stop = longestStopMs['loom'] as number;
    const what = `20 streams beside requests of ${sizeOf(kilobytes)}`;
    return [
      { what: `${what}, relay p99`, goal: '≤ 1.5 × hpm', measured: times(p99), met: p99 <= 1.5 },
      {
        what: `${what}, longest stop`,
        ...{ goal: '≤ 20 ms', met: stop <= 20 },
        measured: `${stop.toFixed(0)} ms (hpm ${longestStopMs['hpm']?.toFixed(0)}, reparse ${longestStopMs['reparse']?.toFixed(0)})`,
      },
    ];
  });
}

function memoryRows({ memory }: Results): Row[] {
  if (!memory) return [];
  const { 'gateway, telemetry on': exporting, hpm, ...services } = memory.idle;
  const most = Math.max(...Object.values(services));
  const named = Object.entries(services)
    .map(([name, mb]) => `${name} ${mb.toFixed(0)}`)
    .join(', ');
  const peak = ratio(memory.peak['loom'], memory.peak['hpm']);
  return [
    {
      what: 'memory, idle',
      ...{ goal: '≤ 80 MB a service', met: most <= 80 },
      measured: `${named}; hpm ${hpm?.toFixed(0)}; a gateway that exports telemetry ${exporting?.toFixed(0)}`,
    },
    {
      what: 'memory, at most, 32 bodies of 1 MB under way',
      ...{ goal: '≤ 2 × hpm', met: peak <= 2 },
      measured: `${times(peak)} (${memory.peak['loom']?.toFixed(0)} MB)`,
    },
  ];
}

function redisRows({ 'redis-states': cells = [] }: Results): Row[] {
  if (cells.length === 0) return [];
  const [small, large] = [cells[0], cells.at(-1)] as [(typeof cells)[0], (typeof cells)[0]];
  return ['stopped', 'gone'].map((state) => {
    const added = cells.map(({ addedMs }) => ratio(addedMs[state], addedMs['healthy']));
    const rates = cells.map(({ perSecond }) => ratio(perSecond[state], perSecond['healthy']));
    const slope = (of: string) => (large.cpuMs[of] as number) - (small.cpuMs[of] as number);
    const cpu = ratio(slope(state), slope('healthy'));
    const list = (values: number[]) => values.map((value) => value.toFixed(2)).join(' / ');
    const sizes = cells.map(({ kilobytes }) => sizeOf(kilobytes)).join(' / ');
    const met = Math.max(...added, cpu) <= 1.1 && Math.min(...rates) >= 0.9;
    const measured = `first byte ${list(added)} ×, requests a second ${list(rates)} × (${sizes}), CPU of a MB ${cpu.toFixed(2)} ×`;
    return { what: `Redis ${state}, against healthy`, goal: 'no more than 10 % worse', measured, met };
  });
}
