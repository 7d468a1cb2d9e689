import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Spool } from '../../src/adapters/spool.ts';
import type { SpooledEntry } from '../../src/adapters/spool-file.ts';
import { log } from '../quiet-log.ts';

/** Greater than any process id that Linux gives. */
const DEAD = 2 ** 22 + 1;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'loom-spool-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (maxBytes = 1_000_000) => new Spool({ folder, maxBytes, log });
const entry = (name: string): SpooledEntry => ({ key: 'loom:responses', fields: ['id', name], keep: 10 });
const line = (name: string) => `${JSON.stringify(entry(name))}\n`;
const file = (pid: number, suffix = '') => join(folder, `${pid}.jsonl${suffix}`);

/** Hands everything over, and returns the names in the order in which they came. */
async function drained(spool: Spool): Promise<string[]> {
  const names: string[] = [];
  await spool.drain(async (entries) => void names.push(...entries.map(({ fields }) => fields[1] as string)));
  return names;
}

describe('Spool', () => {
  test('hands entries over in order, those that are added meanwhile behind them, and leaves no file', async () => {
    const spool = open();
    for (const name of ['a', 'b', 'c']) spool.add(entry(name));

    const names: string[] = [];
    await spool.drain(async (entries) => {
      if (names.length === 0) spool.add(entry('d'));
      names.push(...entries.map(({ fields }) => fields[1] as string));
    });

    expect(names).toEqual(['a', 'b', 'c', 'd']);
    expect([spool.isEmpty, spool.dropped, readdirSync(folder)]).toEqual([true, 0, []]);
  });

  test('hands over in small batches, and goes on behind the last one that was taken', async () => {
    const spool = open();
    const all = Array.from({ length: 250 }, (_, at) => `e${at}`);
    for (const name of all) spool.add(entry(name));

    const sizes: number[] = [];
    const names: string[] = [];
    const refuseThird = async (entries: SpooledEntry[]) => {
      sizes.push(entries.length);
      if (sizes.length === 3) throw new Error('OOM command not allowed');
      names.push(...entries.map(({ fields }) => fields[1] as string));
    };
    await expect(spool.drain(refuseThird)).rejects.toThrow('OOM');
    expect(spool.pending).toBe(50);
    spool.add(entry('later'));
    await spool.drain(refuseThird);

    expect(sizes).toEqual([100, 100, 50, 50, 1]);
    expect(names).toEqual([...all, 'later']);
  });

  test('hands over no more than about 1 MiB at once', async () => {
    const spool = open(10_000_000);
    for (let at = 0; at < 5; at++) spool.add(entry('x'.repeat(700_000)));

    const sizes: number[] = [];
    await spool.drain(async (entries) => void sizes.push(entries.length));

    expect(sizes).toEqual([2, 2, 1]);
  });

  test('drops and counts what has no room, and has room again after the hand-over', async () => {
    const spool = open(2 * line('a').length);
    for (const name of ['a', 'b', 'c', 'd']) spool.add(entry(name));

    expect(spool.dropped).toBe(2);
    expect(await drained(spool)).toEqual(['a', 'b']);
    spool.add(entry('e'));
    expect(await drained(spool)).toEqual(['e']);
  });

  test('drops and counts everything in a folder that cannot be written, and nothing throws', async () => {
    writeFileSync(join(folder, 'taken'), 'a file where the folder should be');
    const spool = new Spool({ folder: join(folder, 'taken'), maxBytes: 1_000, log });

    spool.add(entry('a'));

    expect([spool.isEmpty, spool.dropped, await drained(spool)]).toEqual([true, 1, []]);
  });

  test('counts what somebody took away from the disk', async () => {
    const spool = open();
    spool.add(entry('a'));
    rmSync(file(process.pid));

    expect([await drained(spool), spool.dropped, spool.isEmpty]).toEqual([[], 1, true]);
  });

  test('takes over what dead processes left, the interrupted hand-over first, without a torn last line', async () => {
    writeFileSync(file(DEAD, '.draining'), line('a'));
    writeFileSync(file(DEAD), line('b') + line('c').slice(0, 20));

    const spool = open();

    expect(spool.pending).toBe(2);
    expect(await drained(spool)).toEqual(['a', 'b']);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('takes over its own file, as after a restart under the same process id', async () => {
    open().add(entry('a'));

    expect(await drained(open())).toEqual(['a']);
  });

  test('leaves the file of a process that lives, unless the machine was started after it', async () => {
    writeFileSync(file(process.ppid), line('a'));
    const spool = open();
    expect(spool.isEmpty).toBe(true);
    expect(readFileSync(file(process.ppid), 'utf8')).toBe(line('a'));

    utimesSync(file(process.ppid), 0, 0);

    expect(await drained(open())).toEqual(['a']);
  });

  test('passes over a line that was damaged, and over no other', async () => {
    const spool = open();
    spool.add(entry('a'));
    appendFileSync(file(process.pid), `${line('torn').slice(0, 12)}\n`);
    spool.add(entry('b'));

    expect(await drained(spool)).toEqual(['a', 'b']);
  });

  test('does not let the piece that a full disk took spoil the entry behind it', async () => {
    const spool = open();
    symlinkSync('/dev/full', file(process.pid));
    spool.add(entry('a'));
    rmSync(file(process.pid));
    writeFileSync(file(process.pid), line('a').slice(0, 12));

    spool.add(entry('b'));

    expect([await drained(spool), spool.dropped]).toEqual([['b'], 1]);
  });

  test('keeps every character, those that end a line elsewhere and those that are cut by a read included', async () => {
    const spool = open();
    const names = ['a\u2028b\u2029c\r\nd', '🧶'.repeat(40_000), 'plain'];
    for (const name of names) spool.add(entry(name));

    expect(await drained(spool)).toEqual(names);
  });
});
