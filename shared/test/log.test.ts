import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));

/** Runs statements with a `log` in a process of their own and returns its lines on stdout. */
async function linesOf(statements: string, environment: Record<string, string> = {}): Promise<string[]> {
  const script = `
    await import('@loom/shared/instrument.ts');
    const { createLog } = await import('@loom/shared/log.ts');
    const { startSpan, contextOf } = await import('@loom/shared/telemetry.ts');
    const { context, trace } = await import('@opentelemetry/api');
    const log = createLog({ service: 'gateway', level: 'info' });
    ${statements}`;
  const env = { ...process.env, NODE_OPTIONS: '', ...environment };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: FOLDER,
    env,
  });
  return stdout.split('\n').slice(0, -1);
}

describe('createLog', () => {
  test('writes one object a line, from its level up', async () => {
    const lines = await linesOf(`log.info('listening', { port: 8080 }); log.debug('unseen'); log.error('failed');`);

    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { timestamp: expect.any(String), level: 'info', service: 'gateway', message: 'listening', port: 8080 },
      { timestamp: expect.any(String), level: 'error', service: 'gateway', message: 'failed' },
    ]);
    expect(lines[0]).toMatch(/^\{"timestamp":"\d{4}-[^"]+Z","level":"info","service":"gateway","message":"listening"/);
  });

  test('does not even look at a line that is below its level', async () => {
    const lines = await linesOf(`
      const field = { get requestId() { process.stdout.write('looked at\\n'); return 'r1'; } };
      log.debug('unseen', field);
      log.info('seen');`);

    expect(lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(['seen']);
  });

  test('drops fields that are not known to be safe, and scrubs what is said', async () => {
    const [line = ''] = await linesOf(
      `log.info('got sk-ant-api03-x', { headers: { authorization: 'Bearer abcdef' } });`,
    );

    expect(JSON.parse(line)).toMatchObject({ message: 'got [credential]', withheld: ['headers'] });
    expect(line).not.toContain('abcdef');
  });

  test.each(['json', 'pretty'])('writes what a terminal only shows, whatever is in it: %s', async (format) => {
    const hostile = '"\\u001b[2J\\u009b31m\\u202etxt\\u200b\\r\\n\\u007f\\u2028"';
    const lines = await linesOf(
      `log.warn('got ' + ${hostile}, { rewriter: ${hostile}, names: [${hostile}], error: new Error(${hostile}) });`,
      { LOOM_LOG_FORMAT: format },
    );

    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  test('says in which span a line was written', async () => {
    const [line = ''] = await linesOf(`
      const parent = contextOf('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');
      context.with(parent, () => log.info('within'));`);

    expect(JSON.parse(line)).toMatchObject({
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
      span_id: '00f067aa0ba902b7',
    });
  });

  test('writes for a person where LOOM_LOG_FORMAT says so', async () => {
    const lines = await linesOf(
      `log.info('listening', { port: 8080, reason: 'asked to' }); log.warn('failed', { error: new Error('no'), body: 1 });`,
      { LOOM_LOG_FORMAT: 'pretty' },
    );

    expect(lines.map((line) => line.replace(/^\d\d:\d\d:\d\d/, 'HH:MM:SS'))).toEqual([
      'HH:MM:SS info  listening port=8080 reason="asked to"',
      'HH:MM:SS warn  failed error="no" withheld=["body"]',
    ]);
  });

  test('says once a minute that telemetry is not exported, and how much was lost, until nothing more is', async () => {
    const lines = await linesOf(
      `const { diag } = await import('@opentelemetry/api');
       const { lossCounting } = await import('@loom/shared/export-losses.ts');
       const { mock } = await import('node:test');
       const processed = lossCounting.getMeter('sdk').createCounter('processed');
       mock.timers.enable({ apis: ['setTimeout'] });
       diag.error('no collector'); diag.warn('still none'); diag.info('unseen');
       processed.add(1, {}); processed.add(64, { 'error.type': 'TimeoutError' });
       mock.timers.tick(59_999);
       log.info('a minute');
       mock.timers.tick(1); mock.timers.tick(60_000);
       processed.add(7, { 'error.type': 'queue_full' });
       mock.timers.tick(60_000);
       diag.warn('full');
       process.exit(0);`,
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' },
    );

    const told = lines.map((line) => JSON.parse(line));
    expect(told.map(({ message, reason, suppressed, dropped }) => [message, reason, suppressed, dropped])).toEqual([
      ['telemetry is not exported', 'no collector', 0, 0],
      ['a minute', undefined, undefined, undefined],
      ['telemetry is not exported', 'still none', 0, 64],
      ['telemetry is not exported', 'full', 0, 7],
    ]);
  });
});
