import { PassThrough } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { openBoard } from '../up/board.ts';

describe('openBoard', () => {
  test('puts each name in front, in one column, without colours where there is no terminal', () => {
    const stream = new PassThrough();
    const board = openBoard(['redis', 'gateway'], stream);

    board.write('redis', 'ready');
    board.write('gateway', 'listening');

    expect(String(stream.read())).toBe('redis   │ ready\ngateway │ listening\n');
  });

  test('writes what a terminal only shows, whatever a program says', () => {
    const stream = new PassThrough();

    openBoard(['redis'], stream).write('redis', 'a\u001b]0;title\u0007b\u001b[2J\u009b31mc\rd\u202ee');

    expect(String(stream.read())).toBe('redis │ abc de\n');
  });
});
