import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';

const run = promisify(execFile);

describe('make demo', () => {
  test('shows what was cut, injected, replayed and rewritten, and the events of it all', async () => {
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, '../demo/main.ts')], { timeout: 60_000 });
    const about = (ordinal: number) => stdout.split('\n\n').find((part) => part.startsWith(`${ordinal}. `)) ?? '';

    expect(about(1)).toContain('cut: 1 metadata block(s)');
    expect(about(1)).toContain('intro-injector (asked because: human): applied');
    expect(about(1)).toContain('+ - Sam waters the basil on Sundays.');
    expect(about(2)).toContain('replayed: 1 durable edit(s)');
    expect(about(3)).toContain('intro-injector (asked because: human): none');
    expect(about(7)).toContain('class compaction, profile alpha');
    expect(about(7)).toContain('+ I am Alpha.');
    expect(about(8)).toContain('replace /messages/0/content/0/text, durable');
    expect(stdout).toContain('loom:responses: request.forwarded × 8, response.completed × 8');
    expect(stdout).toContain('Requests in which metadata reached the API: 0 of 8.');
  }, 70_000);
});
