import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { closeJson } from '../../src/core/close-json.ts';

describe('closeJson', () => {
  test.each<[broken: string, expected: unknown]>([
    ['{"path":"/a","text":"Once upon', { path: '/a', text: 'Once upon…' }],
    ['{"path":"/a","te', { path: '/a' }],
    ['{"path":"/a","text"', { path: '/a' }],
    ['{"path":"/a","text":', { path: '/a' }],
    ['{"path":"/a",', { path: '/a' }],
    ['{"todos":[{"a":1},{"b":[2,3', { todos: [{ a: 1 }, { b: [2, 3] }] }],
    ['{"a":"half an escape \\', { a: 'half an escape …' }],
    ['{"a":"half an escape \\u00', { a: 'half an escape …' }],
    ['{"a":"\\\\', { a: '\\…' }],
    ['{"a":{}}', { a: {} }],
    ['{', {}],
    ['no JSON', undefined],
    ['', undefined],
  ])('makes of %j what there is of it', (broken, expected) => {
    expect(closeJson(broken, '…')).toEqual(expected);
  });

  test('makes an object of any object, wherever it breaks off', () => {
    holds(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(), (value, at) => {
        const json = JSON.stringify(value);
        const closed = closeJson(json.slice(0, 1 + (at % json.length)), '');
        expect(typeof closed).toBe('object');
      }),
    );
  });
});
