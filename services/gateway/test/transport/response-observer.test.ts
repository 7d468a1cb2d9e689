import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { sse } from '@loom/shared/testing/reply.ts';
import { ResponseObserver } from '../../src/adapters/response-observer.ts';

const json = Buffer.from(JSON.stringify(messageOf({ text: 'Caf\u00e9.' })));
const stream = Buffer.concat(sse({ text: 'Caf\u00e9.' }).chunks as Buffer[]);

/** At which byte, counted from the body's end, an observer knows that the answer is complete; then what it says. */
async function observe(headers: Record<string, string>, body: Buffer) {
  const observer = new ResponseObserver(headers);
  const at = Array.from(body, (byte) => observer.write(Buffer.from([byte]))).indexOf(true);
  await observer.end(true);
  const { isComplete, parts } = observer.answer;
  return { known: at < 0 ? 'at the end' : body.length - 1 - at, isComplete, text: parts.text, bytes: observer.bytes };
}

const read = (body: Buffer) => ({ isComplete: true, text: 'Caf\u00e9.', bytes: body.length });

describe('ResponseObserver', () => {
  test('knows with the last byte that a message of known length is complete', async () => {
    const observed = await observe({ 'content-type': 'application/json', 'content-length': String(json.length) }, json);

    expect(observed).toEqual({ known: 0, ...read(json) });
  });

  test.each([1, 3, 100, 16_000, 70_000])(
    'reads a long stream in pieces of %d bytes like one in one piece',
    async (size) => {
      const long = Buffer.from(String(stream).replace('Café', `Café${'é'.repeat(9_000)}`));
      const textOf = async (body: Buffer) => {
        const observer = new ResponseObserver({ 'content-type': 'text/event-stream' });
        const known: boolean[] = [];
        for (let at = 0; at < body.length; at += size) known.push(observer.write(body.subarray(at, at + size)));
        await observer.end(true);
        return { known: known.indexOf(true) === known.length - 1, text: observer.answer.parts.text };
      };

      expect(await textOf(long)).toEqual({ known: true, text: `Café${'é'.repeat(9_000)}.` });
    },
  );

  test('knows with its last event that a stream is complete', async () => {
    expect(await observe({ 'content-type': 'text/event-stream; charset=utf-8' }, stream)).toEqual({
      ...{ known: 0, ...read(stream) },
    });
  });

  test('knows at the end alone that a message of unknown length is complete', async () => {
    expect(await observe({ 'content-type': 'application/json' }, json)).toEqual({ known: 'at the end', ...read(json) });
  });

  test.each([
    ['message', 'application/json', json],
    ['stream', 'text/event-stream', stream],
  ])('knows at the end alone that a compressed %s is complete', async (_, type, body) => {
    const compressed = gzipSync(body);
    const headers = { 'content-type': type, 'content-encoding': 'gzip', 'content-length': String(compressed.length) };

    expect(await observe(headers, compressed)).toEqual({ known: 'at the end', ...read(compressed) });
  });

  test.each(['constructor', '__proto__', 'gzip, br'])('looks at nothing in the encoding %s', async (encoding) => {
    const observer = new ResponseObserver({ 'content-type': 'application/json', 'content-encoding': encoding });
    observer.write(json);

    await observer.end(true);

    expect([observer.answer.isComplete, observer.blindness]).toEqual([false, 'unknown encoding']);
  });

  test.each([
    ['of known length', { 'content-length': '57' }],
    ['of unknown length', {}],
  ])('bears a message %s whose text is no text', async (_, length) => {
    const odd = Buffer.from('{"content":[{"type":"text","text":{"toString":1}}],"a":1}');
    const observer = new ResponseObserver({ 'content-type': 'application/json', ...length }, true);

    observer.write(odd);
    await observer.end(true);

    expect([odd.length, observer.answer.isComplete, observer.answer.blocks?.list, observer.blindness]).toEqual([
      ...[57, true, [{ type: 'text', text: '' }], undefined],
    ]);
  });

  test('takes nothing that broke off for complete', () => {
    const observer = new ResponseObserver({ 'content-type': 'application/json' });
    observer.write(json);

    observer.end(false);

    expect([observer.answer.isComplete, observer.answer.parts.text, observer.blindness]).toEqual([
      false,
      '',
      undefined,
    ]);
  });
});
