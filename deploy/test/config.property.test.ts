import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { ConfigError, loadConfig } from '@loom/shared/config.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { Config as CompactRewriter } from '../../services/compact-rewriter/src/config.ts';
import { Config as Console } from '../../services/console/src/config.ts';
import { Config as Gateway } from '../../services/gateway/src/config.ts';
import { Config as IntroInjector } from '../../services/intro-injector/src/config.ts';
import { Config as TraceGrouper } from '../../services/trace-grouper/src/config.ts';
import { Config as TranscriptWatcher } from '../../services/transcript-watcher/src/config.ts';
import { Settings } from '../up/settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'loom-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const SECRET = 'never-in-the-dark-but-this';
const passwordFile = join(folder, 'password');
writeFileSync(passwordFile, ` ${SECRET}/@:%#?\n`);

const schemas = { CompactRewriter, Console, Gateway, IntroInjector, Settings, TraceGrouper, TranscriptWatcher };

const numbers = [
  '0',
  '-1',
  '1.5',
  '1e3',
  '0x10',
  'NaN',
  'Infinity',
  '1e999',
  '99999999999999999999',
  ' 7 ',
  '65536',
  '8080',
];
const urls = [
  ...[
    'redis://',
    'redis:',
    'rediss://u:p@h:1/0?x=1',
    'redis://h:99999',
    'redis://[::1]:6379',
    'redis://%',
    'unix:',
    'unix:///r.sock',
  ],
  ...[
    'http://',
    'http://h',
    'https://u:p@h/base?q#f',
    'HTTP://H:0',
    'http://h:99999',
    'http://a b',
    '//h',
    'ftp://h',
    'redis://h/%zz',
  ],
];
const lists = [
  '[',
  '[]',
  '["a","("]',
  '[1]',
  '(',
  'a\n(\n',
  'x*',
  '.*',
  '[a-z]+\n\\d',
  'compact-rewriter,,',
  ',',
  '__proto__',
];
const places = [
  folder,
  passwordFile,
  '/',
  '/nowhere/at/all',
  '/dev/null',
  '.',
  '\u0000',
  join(folder, 'x'.repeat(300)),
];
const words = [
  '',
  ' ',
  'alpha',
  'delta',
  'full',
  'start',
  'warn',
  'true',
  'null',
  'loom',
  'l{o}om',
  'a:b',
  'x'.repeat(70),
  SECRET,
];
const value = fc.oneof(
  fc.constantFrom(...numbers, ...urls, ...lists, ...places, ...words),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('%', '\u0000', '\u001b', '\n', '@', ':', '/', '?', 'ä'), maxLength: 8 }),
);

describe.each(Object.entries(schemas))('the settings of %s, of any environment', (_, schema) => {
  const names = [...Object.keys(schema.shape), 'REDIS_USERNAME', 'REDIS_PASSWORD_FILE', 'LOOM_UNKNOWN'];
  const environment = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 6, noNullPrototype: true });

  test('are settings, or one error that names each that is wrong and shows no secret', () => {
    const met = new Set<string>();
    holds(
      fc.property(environment, (given) => {
        let settings: Record<string, unknown>;
        try {
          settings = loadConfig(schema, given);
        } catch (error) {
          met.add('refused');
          expect(error).toBeInstanceOf(ConfigError);
          const { message } = error as ConfigError;
          const [head, ...lines] = message.split('\n');
          expect(head).toBe('these settings are wrong:');
          expect(lines.length).toBeGreaterThan(0);
          // Each line is about one setting, whatever stands in its value.
          for (const line of lines) expect(names).toContain(/^ {2}(\w+)(?:\.\d+)?: \S/.exec(line)?.[1]);
          for (const name of ['LOOM_HOOK_SECRET', 'REDIS_URL', 'LOOM_UPSTREAM_URL']) {
            const secret = given[name]?.trim() ?? '';
            if (
              secret.length > 12 &&
              !Object.entries(given).some(([other, one]) => other !== name && one.includes(secret))
            )
              expect(message).not.toContain(secret);
          }
          return;
        }
        met.add('taken');
        const url = settings['REDIS_URL'];
        if (typeof url !== 'string' || given['REDIS_USERNAME']?.trim() === '') return;
        const { username, host, searchParams } = new URL(url);
        const user = host === '' ? searchParams.get('username') : decodeURIComponent(username);
        if (given['REDIS_USERNAME'] !== undefined) expect(user).toBe(given['REDIS_USERNAME']);
      }),
      400,
    );
    reaches(met, ['refused', 'taken']);
  });
});
