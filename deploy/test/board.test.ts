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
});
