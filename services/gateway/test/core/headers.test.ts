import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { requestHeaders, responseHeaders } from '../../src/core/headers.ts';

const HOP_BY_HOP = ['connection', 'proxy-connection', 'keep-alive', 'te', 'trailer', 'upgrade'].concat(
  ...['proxy-authenticate', 'proxy-authorization'],
);
const OWN = [
  'x-loom-profile',
  'x-loom-',
  'X-Loom-X',
  'x-machine-name',
  'X-Session-Id',
  'traceparent',
  'tracestate',
  'Baggage',
];

/** Node's objects of headers have no prototype; the tests' have. */
const plain = (headers: object) => Object.fromEntries(Object.entries(headers));

describe('requestHeaders', () => {
  test('keeps the client’s headers in its spelling and order', () => {
    const raw = ['X-Api-Key', 'k', 'authorization', 'Bearer t', 'Anthropic-Beta', 'a,b', 'x-empty', ''];

    const headers = requestHeaders(raw, undefined);

    expect(Object.entries(headers).flat()).toEqual(raw);
  });

  test('gathers repetitions under the first spelling', () => {
    expect(plain(requestHeaders(['X-A', '1', 'x-b', '2', 'x-a', '3', 'X-A', '4'], undefined))).toEqual({
      'X-A': ['1', '3', '4'],
      'x-b': '2',
    });
  });

  test('takes no header for more than a header', () => {
    const headers = requestHeaders(['__proto__', 'x', 'constructor', 'y', 'hasOwnProperty', 'z'], undefined);

    expect(Object.entries(headers)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
      ['hasOwnProperty', 'z'],
    ]);
  });

  test.each([...HOP_BY_HOP, ...OWN, 'Host', 'Expect'])('leaves out %s', (name) => {
    expect(plain(requestHeaders([name, 'x', name.toUpperCase(), 'y', 'x-kept', '1'], undefined))).toEqual({
      'x-kept': '1',
    });
  });

  test('leaves out what `connection` lists, wherever it stands', () => {
    const raw = ['X-One', '1', 'Connection', 'close, X-One', 'x-kept', '1', 'connection', ' x-two ,,', 'x-two', '2'];

    expect(plain(requestHeaders(raw, undefined))).toEqual({ 'x-kept': '1' });
  });

  test('keeps the framing of a streamed body, in the case that the proxy looks for', () => {
    expect(plain(requestHeaders(['Content-Length', '7'], undefined))).toEqual({ 'content-length': '7' });
    expect(plain(requestHeaders(['Transfer-Encoding', 'chunked'], undefined))).toEqual({
      'transfer-encoding': 'chunked',
    });
  });

  test('keeps the framing also where `connection` lists it', () => {
    const raw = ['connection', 'content-length, transfer-encoding', 'content-length', '7'];

    expect(plain(requestHeaders(raw, undefined))).toEqual({ 'content-length': '7' });
  });

  test.each([
    ['length', ['Content-Length', '7']],
    ['chunks', ['Transfer-Encoding', 'chunked']],
    ['nothing', []],
  ])('tells the length of a body that was read whole, whatever the client told: %s', (_, raw) => {
    expect(plain(requestHeaders([...raw, 'x-kept', '1'], 9))).toEqual({ 'x-kept': '1', 'content-length': '9' });
  });

  test('keeps every value of any other header', () => {
    const name = fc.stringMatching(/^[yY]-[a-cA-C]{0,2}$/);
    const pairs = fc.array(fc.tuple(name, fc.string()));

    holds(
      fc.property(pairs, (list) => {
        const sent = Object.values(requestHeaders(list.flat(), undefined)).flat();
        expect(sent.toSorted()).toEqual(list.map(([, value]) => value).toSorted());
      }),
    );
  });
});

describe('responseHeaders', () => {
  test('keeps the upstream’s list as it is, repetitions in their places', () => {
    const raw = [
      'Set-Cookie',
      'a',
      'Date',
      'Thu',
      'request-id',
      'r',
      'set-cookie',
      'b',
      'x-loom-x',
      'theirs',
      'Content-Length',
      '3',
    ];

    expect(responseHeaders(raw)).toEqual(raw);
  });

  test('leaves out what concerns the upstream’s connection alone, and what that lists', () => {
    const hop = [...HOP_BY_HOP, 'Transfer-Encoding'].flatMap((name) => [name, 'x-listed, content-length']);

    expect(responseHeaders([...hop, 'X-Listed', '1', 'content-length', '3'])).toEqual(['content-length', '3']);
  });
});
