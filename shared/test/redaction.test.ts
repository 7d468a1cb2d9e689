import { describe, expect, test } from '@jest/globals';
import { errorTypeOf, reasonOf, redact, scrub } from '@loom/shared/redaction.ts';

describe('scrub', () => {
  test.each([
    ['key sk-ant-api03-AbC_d-9 refused', 'key [credential] refused'],
    ['Authorization: Bearer eyJhbGciOi.J9', 'Authorization: Bearer [credential]'],
    ['authorization: Basic dXNlcjpwYXNz', 'authorization: Basic [credential]'],
    ['x-api-key: abc123', 'x-api-key: [credential]'],
    ['{"x-api-key":"abc123","a":1}', '{"x-api-key":"[credential]","a":1}'],
    ['redis://loom:s3cret@10.0.0.1:6379/0', 'redis://[credential]@10.0.0.1:6379/0'],
    ['redis://:s3cret@10.0.0.1:6379', 'redis://[credential]@10.0.0.1:6379'],
    ['Cookie: session=1234', 'Cookie: [credential]'],
  ])('takes the credential out of %j', (text, expected) => {
    expect(scrub(text)).toBe(expected);
  });

  test('leaves ordinary text alone', () => {
    const text = 'connect ECONNREFUSED 127.0.0.1:6379 (http://127.0.0.1:4318/v1/traces) for asking-about-keys';

    expect(scrub(text)).toBe(text);
  });
});

describe('redact', () => {
  test('keeps the fields that are known to be safe and names the others', () => {
    const fields = { requestId: 'r1', waitedMs: 3, headers: { 'x-api-key': 'k' }, body: 'secret', reason: undefined };

    expect(redact(fields)).toEqual({ requestId: 'r1', waitedMs: 3, withheld: ['headers', 'body'] });
  });

  test('scrubs what it keeps, and holds nested fields to the same list', () => {
    const fields = { reason: 'for sk-ant-1', entries: ['sk-ant-2'], counters: { handled: 1, note: 'secret' } };

    expect(redact(fields)).toEqual({
      reason: 'for [credential]',
      entries: ['[credential]'],
      counters: { handled: 1, withheld: ['note'] },
    });
  });

  test('shows an error by its name, message and code alone', () => {
    const error = Object.assign(new TypeError('x-api-key: k1'), { code: 'EFAIL', command: { args: ['secret'] } });

    expect(redact({ error })).toEqual({
      error: { name: 'TypeError', message: 'x-api-key: [credential]', code: 'EFAIL' },
    });
  });

  test('comes to an end with an object that holds itself', () => {
    const session: Record<string, unknown> = {};
    session['session'] = session;

    expect(JSON.stringify(redact(session))).toContain('[deep]');
  });
});

describe('reasonOf', () => {
  test('is the message of an error, scrubbed and of at most 500 characters', () => {
    expect(reasonOf(new Error('for sk-ant-1'))).toBe('for [credential]');
    expect(reasonOf(new Error('x'.repeat(600)))).toBe('x'.repeat(500));
    expect(reasonOf('thrown as it is')).toBe('thrown as it is');
  });
});

describe('errorTypeOf', () => {
  test('is the code where there is one, else the class', () => {
    expect(errorTypeOf(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))).toBe('ECONNREFUSED');
    expect(errorTypeOf(new TypeError('no'))).toBe('TypeError');
    expect(errorTypeOf('no')).toBe('string');
  });
});
