import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Config as CompactConfig } from '../../services/compact-rewriter/src/config.ts';
import { Config as GatewayConfig } from '../../services/gateway/src/config.ts';
import { Config as IntroConfig } from '../../services/intro-injector/src/config.ts';
import { Config as GrouperConfig } from '../../services/trace-grouper/src/config.ts';
import { Config as WatcherConfig } from '../../services/transcript-watcher/src/config.ts';
import { Settings } from '../up/settings.ts';
import { eventTable } from './event-table.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

describe('the README', () => {
  test('lists every event with its stream and fields as the schemas have them', () => {
    const rows = readme.split('\n').filter((line) => /^\| `[a-z]+\.[a-z]+`/.test(line));

    expect(rows).toEqual(eventTable());
  });

  test('names every setting of every service', () => {
    const schemas = [GatewayConfig, CompactConfig, IntroConfig, GrouperConfig, WatcherConfig, Settings];
    const settings = new Set(schemas.flatMap((schema) => Object.keys(schema.shape)));

    const missing = [...settings].filter((name) => !readme.includes(`\`${name}\``));

    expect(missing).toEqual([]);
  });
});
