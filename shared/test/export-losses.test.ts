import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));

/** Ends so many spans at once in a process whose collector refuses everything; the first line that its log has of it. */
async function firstComplaint(spans: number): Promise<Record<string, unknown>> {
  const script = `
    const { createServer } = await import('node:http');
    const collector = createServer((request, response) => request.resume().once('end', () => response.writeHead(400).end()));
    await new Promise((resolve) => collector.listen(0, '127.0.0.1', resolve));
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = 'http://127.0.0.1:' + collector.address().port;
    await import('@loom/shared/instrument.ts');
    const { createLog } = await import('@loom/shared/log.ts');
    const { startSpan, contextOf } = await import('@loom/shared/telemetry.ts');
    createLog({ service: 'gateway', level: 'warn' }).once('data', () => setImmediate(() => process.exit(0)));
    for (let at = 0; at < ${spans}; at += 1) startSpan('span', {}, contextOf()).end();`;
  const env = { ...process.env, NODE_OPTIONS: '' };
  const command = ['--input-type=module', '-e', script];
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: FOLDER, env });
  return JSON.parse(stdout.split('\n')[0] ?? '');
}

describe('what telemetry loses', () => {
  test('is counted: the batch that was refused, and whatever found no room meanwhile', async () => {
    const { message, dropped } = await firstComplaint(5_000);

    // 4,096 wait, and the 64 that were on their way are lost as well.
    expect([message, dropped]).toEqual(['telemetry is not exported', 5_000 - 4_096]);
  });
});
