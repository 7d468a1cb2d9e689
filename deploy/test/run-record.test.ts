import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { findProcess } from '../up/process.ts';
import { endLeftovers, findRun, RunRecord } from '../up/run-record.ts';

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'loom-state-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const self = (name: string) => findProcess(name, process.pid);

describe('RunRecord', () => {
  test('keeps on disk what runs', () => {
    const record = new RunRecord(state);
    record.add('gateway', process.pid);

    expect(findRun(state)).toEqual({ up: self('make up'), processes: [self('gateway')] });

    record.remove(process.pid);

    expect(findRun(state)).toEqual({ up: self('make up'), processes: [] });
  });

  test('is gone when the run has ended', () => {
    new RunRecord(state).close();

    expect(findRun(state)).toBeUndefined();
  });

  test('belongs to one run at a time', () => {
    new RunRecord(state);

    expect(() => new RunRecord(state)).toThrow(
      `Loom runs already (make up, pid ${process.pid}). End it with: make down`,
    );
    expect(findRun(state)).toEqual({ up: self('make up'), processes: [] });
  });
});

describe('endLeftovers', () => {
  test('touches nothing while the run goes on', async () => {
    const record = new RunRecord(state);
    record.add('jest itself', process.pid);

    expect(await endLeftovers(state, 0)).toEqual([]);
    expect(findRun(state)?.processes).toEqual([self('jest itself')]);
  });

  test('frees the folder of a run that is gone', async () => {
    const gone = { name: 'make up', pid: process.pid, started: 'another boot/1' };
    writeFileSync(join(state, 'up.json'), JSON.stringify({ up: gone, processes: [{ ...gone, name: 'gateway' }] }));

    expect(await endLeftovers(state, 0)).toEqual([]);
    expect(findRun(state)).toBeUndefined();
  });
});

describe('findRun', () => {
  test('says which file to remove when it cannot be read', () => {
    writeFileSync(join(state, 'up.json'), '{"up":');

    expect(() => findRun(state)).toThrow(`expected the record of a run in ${join(state, 'up.json')}; remove that file`);
  });
});
