import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const MAIN = join(import.meta.dirname, '../../faults/main.ts');

/** The rows of the table that a run prints, and its exit code. */
function run(...words: string[]): Promise<{ code: number; rows: string[][]; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, '--seed', '1', ...words], (error, stdout, stderr) => {
      const rows = stdout.split('\n').filter((line) => line.startsWith('| ') && !/^\| (fault|---)/.test(line));
      const cells = rows.map((row) => row.slice(2, -2).split(' | '));
      resolve({ code: error ? Number(error.code) : 0, rows: cells, output: stdout + stderr });
    });
  });
}

describe('make faults', () => {
  // The seed has a grouper and Redis killed: whoever talks to clients takes longer to be given up.
  test('loses nothing to kills, and finds what is not there', async () => {
    const { code, rows, output } = await run('--rounds', '2', '--only', 'kills,sabotage');

    const lost = Object.fromEntries(rows.map(([fault = '', , what]) => [fault, Number(what)]));
    expect({ lost, code, output }).toEqual({
      lost: {
        '2 random kills of services and Redis under load': 0,
        'an answer that nobody published, and a line that nobody wrote': 4,
      },
      code: 1,
      output,
    });
  }, 240_000);

  test('says what is wrong with a row that there is not', async () => {
    const { code, output } = await run('--only', 'nonsense');

    expect([code, output]).toEqual([2, 'expected names of rows in --only, got nonsense; see --help\n']);
  });
});
